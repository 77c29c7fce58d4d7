//! Tables of documents: the attack, and the innocent document that looks like it.

use super::*;
use crate::body::testing::text;

fn read(body: &[u8]) -> Xml {
    parse(body, Limits::default(), &[])
}

fn reason(body: &str) -> &'static str {
    read(body.as_bytes()).error.expect(body).reason
}

#[test]
fn well_formed_documents_give_their_text_and_attributes() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("<a>x<b>y</b>z</a>", "xyz", &[]),
        ("<a k='1' j=\"2\"><b k='3'/></a>", "", &["1", "2", "3"]),
        ("<a> x\n<!-- c -->y</a>\n", " x\ny", &[]),
        ("<a>&lt;&gt;&amp;&apos;&quot;</a>", "<>&'\"", &[]),
        ("<a k='&lt;&#x41;&#66;\t&amp;lt;'/>", "", &["<AB &lt;"]),
        ("<a>&#60;script&#x3e;</a>", "<script>", &[]),
        ("<a><![CDATA[<script>&x;]]></a>", "<script>&x;", &[]),
        (
            "<?xml version='1.0' encoding='utf-8'?>\r\n<a>x</a>",
            "x",
            &[],
        ),
        ("\u{feff}<a>x</a>", "x", &[]),
        (
            "<s:E xmlns:s='http://s/' xmlns='u' s:k='v'>x</s:E>",
            "x",
            &["http://s/", "u", "v"],
        ),
        ("<!DOCTYPE html><html>x</html>", "x", &[]),
        (
            "<!DOCTYPE plist PUBLIC \"-//A//DTD\" 'http://a/p.dtd' >\n<plist>x</plist>",
            "x",
            &["-//A//DTD", "http://a/p.dtd"],
        ),
        ("<?go http://x?><a/>", "", &["go http://x"]),
        ("<a></a><!-- after --><?p?>", "", &["p"]),
    ];
    for (document, content, attributes) in cases {
        let xml = read(document.as_bytes());
        assert_eq!(xml.error, None, "{document}");
        assert_eq!(text(&xml.text), *content, "{document}");
        let found: Vec<String> = xml.attributes.iter().map(|value| text(value)).collect();
        assert_eq!(found, *attributes, "{document}");
    }
}

#[test]
fn no_entity_but_the_predefined_ones_is_read() {
    let laughs = "<!DOCTYPE l [<!ENTITY a 'lol'><!ENTITY b '&a;&a;'>]><l>&b;</l>";
    let external = "<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><r>&x;</r>";
    let parameter = "<!DOCTYPE r [<!ENTITY % p SYSTEM 'http://e/'> %p;]><r/>";
    let default = "<!DOCTYPE r [<!ATTLIST r k CDATA '<script>'>]><r/>";
    for document in [laughs, external, parameter, default] {
        assert_eq!(reason(document), "XML DTD with an internal subset");
        let raw = text(&read(document.as_bytes()).text);
        assert!(
            raw.contains("<!DOCTYPE"),
            "the rest is inspected raw: {raw}"
        );
    }
    let undeclared = "XML entity is not predefined";
    assert_eq!(reason("<r>&x;</r>"), undeclared);
    assert_eq!(reason("<r k='&x;'/>"), undeclared);
    assert_eq!(
        reason("<r>&#x;</r>"),
        "XML character reference is not a character"
    );
    assert_eq!(reason("<r>&#+65;</r>"), undeclared);
}

#[test]
fn an_external_identifier_is_inspected_and_never_fetched() {
    let xml = read(b"<!DOCTYPE r SYSTEM 'file:///etc/passwd'><r/>");
    assert_eq!(xml.error, None);
    assert_eq!(xml.attributes, [b"file:///etc/passwd".to_vec()]);
    let include =
        "<a xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='file:///x'/></a>";
    let attributes = read(include.as_bytes()).attributes;
    assert!(attributes.contains(&b"file:///x".to_vec()));
}

#[test]
fn what_is_not_well_formed_is_an_error() {
    let cases = [
        ("", "XML root is missing"),
        ("  ", "XML root is missing"),
        ("plain", "XML text outside the root"),
        ("<a/>x", "XML text outside the root"),
        ("<a/>&lt;", "XML text outside the root"),
        ("<![CDATA[x]]><a/>", "XML text outside the root"),
        ("<a/><b/>", "XML has two roots"),
        ("<a>", "XML element is not closed"),
        ("<a", "XML markup is not closed"),
        ("<a></b>", "XML is not well-formed"),
        ("</a>", "XML is not well-formed"),
        ("<a><!-- -- --></a>", "XML is not well-formed"),
        ("<a>& </a>", "XML is not well-formed"),
        ("<a>]]></a>", "]]> in XML text"),
        ("<1/>", "malformed XML element name"),
        ("<a<b/>", "malformed XML element name"),
        ("<a k=1/>", "malformed XML attribute"),
        ("<a k/>", "malformed XML attribute"),
        ("<a k='1' k='2'/>", "malformed XML attribute"),
        ("<a k='<'/>", "< in an XML attribute"),
        ("<a>&#0;</a>", "XML character reference is not a character"),
        (
            "<a>&#xd800;</a>",
            "XML character reference is not a character",
        ),
        (
            " <?xml version='1.0'?><a/>",
            "XML declaration is not at the start",
        ),
        ("<a/><!DOCTYPE a>", "misplaced XML DOCTYPE"),
        ("<!DOCTYPE a><!DOCTYPE a><a/>", "misplaced XML DOCTYPE"),
        ("<!DOCTYPE a SYSTEM><a/>", "malformed XML DOCTYPE"),
        ("<!ENTITY a 'b'><a/>", "unknown XML markup"),
        ("<a>\x01</a>", "control byte in XML, or not UTF-8"),
    ];
    for (document, expected) in cases {
        assert_eq!(reason(document), expected, "{document}");
    }
}

#[test]
fn only_encodings_that_are_read_right_are_read() {
    let latin = b"<?xml version='1.0' encoding = \"ISO-8859-1\"?><a k='\xe9'>\xe9</a>";
    let xml = read(latin);
    assert_eq!(xml.error, None);
    assert_eq!(xml.text, "é".as_bytes());
    assert_eq!(xml.attributes, ["é".as_bytes().to_vec()]);

    let utf16: Vec<u8> = "<a>x</a>"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let padded = format!(
        "<?xml version='1.0'{}encoding='utf-7'?><a>+ADw-script+AD4-</a>",
        " ".repeat(300)
    );
    let bodies: [&[u8]; 6] = [
        padded.as_bytes(),
        &utf16,
        b"\xff\xfe<\0a\0/\0>\0",
        b"<?xml version='1.0' encoding='utf-7'?><a>+ADw-script+AD4-</a>",
        b"<?xml version='1.0' encoding='ibm037'?><a/>",
        b"<a>\xc0\xbcscript></a>",
    ];
    for body in bodies {
        let xml = read(body);
        assert!(!xml.error.expect("refused").at_end);
        assert_eq!(xml.text, body, "the body is inspected raw");
    }
}

#[test]
fn depth_and_attributes_are_capped() {
    assert_eq!(reason(&"<a>".repeat(100_000)), "XML is too deep");
    let allowed = format!("{}{}", "<a>".repeat(256), "</a>".repeat(256));
    assert_eq!(read(allowed.as_bytes()).error, None);

    let many: String = (0..100_000).map(|index| format!(" a{index}=''")).collect();
    let wide = format!("<a{many}/>");
    assert_eq!(reason(&wide), "too many XML attributes on one element");
    let long = format!("<r>{}</r>", "<a k='1'/>".repeat(20_001));
    assert_eq!(reason(&long), "too many XML attributes");
    let allowed = format!("<r>{}</r>", "<a k='1'/>".repeat(20_000));
    assert_eq!(read(allowed.as_bytes()).error, None);
}

#[test]
fn what_the_inspection_limit_cut_is_still_inspected() {
    let xml = read(b"<a k='1'>text<b j='<!payload");
    assert!(xml.error.expect("cut").at_end);
    assert_eq!(text(&xml.text), "text<b j='<!payload");
    assert_eq!(xml.attributes, [b"1".to_vec()]);
}

#[test]
fn every_prefix_of_a_document_is_an_early_end_and_nothing_else() {
    let sample = "<?xml version='1.0'?><!DOCTYPE a SYSTEM 'x'><!-- é --><a k='&lt;é'>\
                  t&#x41;&amp;<![CDATA[c]]><?p i?><b/>é</a>";
    for end in 0..sample.len() {
        let error = read(&sample.as_bytes()[..end]).error.expect("cut");
        assert!(error.at_end, "{end}: {error}");
    }
}
