//! What rules can ask of bodies beyond what every request gets: values inside values.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::{begin, rules};
use waf_rules::{Loader, RequestLine};

const TYPES: &str = "SecRule REQUEST_HEADERS:Content-Type \"@rx json\" \
    \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
    SecRule REQUEST_HEADERS:Content-Type \"@rx xml\" \
    \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n";

const FORM: &str = "application/x-www-form-urlencoded";

/// The rules that match a request, in their order.
fn matched(written: &str, target: &str, kind: &str, body: &str) -> Vec<u64> {
    let mut transaction = begin(&rules(&format!("{TYPES}{written}")));
    let line = RequestLine {
        method: b"POST",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let headers = [(b"Content-Type".as_slice(), kind.as_bytes())];
    if transaction
        .request_headers(line, headers.into_iter())
        .is_none()
    {
        let _ = transaction.request_body(body.as_bytes(), true);
    }
    let found = transaction.finish().matches;
    found.iter().map(|found| found.rule_id).collect()
}

#[test]
fn values_inside_values_are_arguments_where_the_rule_set_asks() {
    let rules = "SecRule ARGS \"@contains <script>\" \"id:10,phase:2,pass\"\n\
        SecRule ARGS_NAMES \"@streq q.base64\" \"id:11,phase:2,pass\"\n\
        SecRule ARGS:data.json.a \"@contains <script>\" \"id:12,phase:2,pass\"\n\
        SecRule ARGS_POST:json.a.json.b.url \"@contains <script>\" \"id:13,phase:2,pass\"";
    let cases = [
        ("/?q=PHNjcmlwdD4=", FORM, "a=1", &[10, 11][..]),
        ("/", FORM, r#"data={"a":"\u003cscript>"}"#, &[10, 12]),
        (
            "/",
            "application/json",
            r#"{"a":"{\"b\":\"%3Cscript%3E\"}"}"#,
            &[10, 13],
        ),
        ("/?q=%253Cscript%253E", FORM, "", &[10]),
        // The nearest harmless values.
        ("/?q=c2NyaXB0", FORM, r#"data={"a":"script"}"#, &[11]),
        ("/?q=transcript", FORM, "data=%257Bscript%257D", &[]),
    ];
    for (target, kind, body, expected) in cases {
        let asked = format!("SecNestedArguments Json Base64 Url\n{rules}");
        assert_eq!(
            matched(&asked, target, kind, body),
            expected,
            "{target} {body}"
        );
        let of_some = format!(
            "SecRule REQUEST_METHOD \"@streq POST\" \
             \"id:3,phase:1,pass,nolog,ctl:nestedArguments=json+base64+url\"\n{rules}"
        );
        assert_eq!(
            matched(&of_some, target, kind, body),
            expected,
            "{target} {body}"
        );
        assert!(
            matched(rules, target, kind, body).is_empty(),
            "{target} {body}"
        );
        let off = format!("{asked}\nSecAction \"id:3,phase:1,pass,nolog,ctl:nestedArguments=Off\"");
        assert!(
            matched(&off, target, kind, body).is_empty(),
            "{target} {body}"
        );
    }
}

#[test]
fn more_nested_values_than_arguments_may_be_are_an_error() {
    let rules = "SecNestedArguments Json\nSecArgumentsLimit 20\n\
        SecRule REQBODY_ERROR \"@eq 1\" \"id:10,phase:2,pass\"";
    let bomb = format!("a=[{}1]", "1,".repeat(100));
    assert_eq!(matched(rules, "/", FORM, &bomb), [10]);
    assert!(matched(rules, "/", FORM, "a=[1,2,3]").is_empty());
}

#[test]
fn rules_name_nodes_of_xml_by_path() {
    let rules = "SecRule XML:/s:Envelope/s:Body//item[@id='2'] \"@rx evil\" \
          \"id:10,phase:2,pass,xmlns:s=http://schemas.xmlsoap.org/soap/envelope/\"\n\
        SecRule XML://item/@id \"@streq 1\" \"id:11,phase:2,pass\"\n\
        SecRule &XML://item \"@eq 2\" \"id:12,phase:2,pass\"\n\
        SecRule REQUEST_XML:/* \"@rx evil\" \"id:13,phase:2,pass\"\n\
        SecRule XML://Item \"@rx .\" \"id:14,phase:2,pass\"\n\
        SecRule XML|!XML:/*|!XML://@* \"@rx evil\" \"id:15,phase:2,pass,msg:'%{MATCHED_VAR_NAME}'\"";
    let soap = |first: &str, second: &str| {
        format!(
            "<x:Envelope xmlns:x='http://schemas.xmlsoap.org/soap/envelope/'><x:Body>\
             <item id='1'>{first}</item><item id='2'>{second}</item></x:Body></x:Envelope>"
        )
    };
    let ask = |body: &str| matched(rules, "/", "text/xml", body);
    assert_eq!(ask(&soap("fine", "evil")), [10, 11, 12, 13, 15]);
    assert_eq!(ask(&soap("evil", "fine")), [11, 12, 13, 15]);
    assert_eq!(ask(&soap("fine", "fine")), [11, 12]);
    assert_eq!(ask("<item id='1'>evil</item>"), [11, 13, 15]);
}

#[test]
fn a_path_that_is_not_served_is_refused_by_name() {
    for (rule, named) in [
        (
            "SecRule XML:/a/parent::b x \"id:10,phase:2,pass\"",
            "`parent::`",
        ),
        ("SecRule XML:/p:a x \"id:10,phase:2,pass\"", "prefix `p`"),
        (
            "SecRule XML:/a x \"id:10,phase:2,pass,xmlns:p\"",
            "prefix=namespace",
        ),
    ] {
        let problems = Loader::new().text("test", rule).load().unwrap_err();
        assert!(problems[0].message.contains(named), "{problems:#?}");
    }
}
