use super::*;

/// A ClientHello made of these parts, as one message.
pub(crate) fn message(ciphers: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; RANDOM]);
    body.push(0);
    body.extend(counted16(&numbers(ciphers)));
    body.extend([1, 0]);
    let mut all = Vec::new();
    for (kind, content) in extensions {
        all.extend(kind.to_be_bytes());
        all.extend(counted16(content));
    }
    body.extend(counted16(&all));
    let mut message = (body.len() as u32 | 1 << 24).to_be_bytes().to_vec();
    message.extend(body);
    message
}

pub(crate) fn numbers(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|n| n.to_be_bytes()).collect()
}

pub(crate) fn counted16(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes(), content].concat()
}

pub(crate) fn counted8(content: &[u8]) -> Vec<u8> {
    [&[content.len() as u8], content].concat()
}

/// The extension `server_name` with these names.
pub(crate) fn names(names: &[&[u8]]) -> (u16, Vec<u8>) {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[HOST_NAME][..], &counted16(name)].concat())
        .collect();
    (SERVER_NAME, counted16(&list))
}

/// The extension `application_layer_protocol_negotiation` with these protocols.
pub(crate) fn alpn(protocols: &[&[u8]]) -> (u16, Vec<u8>) {
    let list: Vec<u8> = protocols.iter().flat_map(|name| counted8(name)).collect();
    (ALPN, counted16(&list))
}

/// The message in records of `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[HANDSHAKE, 3, 1][..], &counted16(part)].concat();
    message.chunks(size).flat_map(record).collect()
}

fn parse(extensions: &[(u16, Vec<u8>)]) -> Result<ClientHello<'static>, HelloFault> {
    let message = message(&[0x1301], extensions);
    ClientHello::parse(message.leak())
}

fn named(name: &[u8]) -> Result<Option<String>, HelloFault> {
    parse(&[names(&[name])]).map(|hello| hello.server_name)
}

#[test]
fn a_message_is_found_however_it_is_cut() {
    let message = message(
        &[0x1301, 0xc02b],
        &[names(&[b"A.Example"]), (10, vec![1; 700])],
    );
    for size in [1, 3, 100, message.len()] {
        let mut bytes = records(&message, size);
        let whole = bytes.len();
        bytes.extend(b"what follows is not looked at");
        let mut reader = HelloReader::default();
        for end in 0..whole {
            assert_eq!(reader.read(&bytes[..end]), Ok(None), "{size} {end}");
        }
        assert_eq!(reader.read(&bytes), Ok(Some(&message[..])));
        let mut at_once = HelloReader::default();
        assert_eq!(at_once.read(&bytes), Ok(Some(&message[..])));
    }
}

#[test]
fn what_cannot_become_a_client_hello_is_refused_at_its_first_wrong_byte() {
    let cases: [(&[u8], HelloFault); 14] = [
        (b"G", HelloFault::PlainHttp),
        (b"\0", HelloFault::NotTls),
        (b"\x80\x2e\x01\x03\x01", HelloFault::NotTls), // SSL 2.0
        (&[21, 3, 1, 0, 2], HelloFault::NotTls),       // an alert
        (&[22, 2], HelloFault::Version),
        (&[22, 4], HelloFault::Version),
        (&[22, 3, 0], HelloFault::Version),
        (&[22, 3, 5], HelloFault::Version),
        (&[22, 3, 1, 0, 0], HelloFault::RecordLength),
        (&[22, 3, 1, 0x40, 1], HelloFault::RecordLength),
        (&[22, 3, 1, 0xff, 0xff], HelloFault::RecordLength),
        (&[22, 3, 1, 0, 1, 2], HelloFault::Unexpected), // a ServerHello
        (&[22, 3, 1, 0, 1, 1, 23], HelloFault::Unexpected), // data between the records
        (&[22, 3, 1, 0, 4, 1, 1, 0, 1], HelloFault::TooLarge),
    ];
    for (bytes, fault) in cases {
        assert_eq!(HelloReader::default().read(bytes), Err(fault), "{bytes:?}");
        let (_, shorter) = bytes.split_last().unwrap();
        if fault != HelloFault::NotTls && fault != HelloFault::TooLarge {
            assert_eq!(HelloReader::default().read(shorter), Ok(None), "{bytes:?}");
        }
    }
}

#[test]
fn the_bytes_are_bounded_whatever_the_records() {
    // 30,000 bytes would do, but six bytes are sent for each.
    let bytes = records(&message(&[1], &[(99, vec![0; 30_000])]), 1);
    let mut reader = HelloReader::default();
    assert_eq!(
        reader.read(&bytes[..HelloReader::MOST]),
        Err(HelloFault::TooLarge)
    );
}

#[test]
fn what_a_client_offers_is_read_in_its_order() {
    let hello = parse(&[
        (0x1a1a, vec![]),
        names(&[b"WWW.Example.org"]),
        alpn(&[b"h2", b"http/1.1"]),
        (SIGNATURES, counted16(&numbers(&[0x0403, 0x0804]))),
        (VERSIONS, counted8(&numbers(&[0x2a2a, 0x0304, 0x0303]))),
    ])
    .unwrap();
    assert_eq!(hello.server_name.as_deref(), Some("www.example.org"));
    assert_eq!(hello.protocols, [&b"h2"[..], b"http/1.1"]);
    assert_eq!(hello.extensions, [0x1a1a, 0, 16, 13, 43]);
    assert_eq!(hello.signatures, [0x0403, 0x0804]);
    assert_eq!(hello.versions, [0x2a2a, 0x0304, 0x0303]);
    assert_eq!(hello.ciphers, [0x1301]);
}

#[test]
fn names_are_names_of_hosts() {
    let long = [&b"a.".repeat(125)[..], b"abc"].concat();
    assert_eq!(long.len(), 253);
    assert!(named(&long).unwrap().is_some());
    assert_eq!(named(b"a_b-c.example"), Ok(Some("a_b-c.example".into())));
    for address in [&b"192.0.2.1"[..], b"2001:db8::1", b"::1"] {
        assert_eq!(named(address), Ok(None), "an address is no name");
    }
    for bad in [
        &b""[..],
        b"a..b",
        b".a",
        b"a.example.",
        b"a\0.example",
        b"a b.example",
        b"*.example",
        b"a.example:443",
        b"-a.example",
        b"a-.example",
        b"[::1]",
        b"192.0.2.256",
        b"example.1",
        "ä.example".as_bytes(),
        b"\xff\xfe",
        &[b'a'; 64],
        &[b'a'; 255],
        &[&long[..], b"d"].concat(),
    ] {
        assert_eq!(named(bad), Err(HelloFault::ServerName), "{bad:?}");
    }
}

#[test]
fn contradictions_are_refused() {
    let many: Vec<_> = (0..256).map(|n| format!("h{n}.example")).collect();
    let many: Vec<_> = many.iter().map(String::as_bytes).collect();
    assert_eq!(parse(&[names(&many)]), Err(HelloFault::ServerName));
    assert_eq!(
        parse(&[(10, vec![]), (11, vec![]), (10, vec![])]),
        Err(HelloFault::DuplicateExtension)
    );
    let many: Vec<_> = (0..200).map(|kind| (kind + 100, vec![])).collect();
    for malformed in [
        vec![alpn(&[])],
        vec![alpn(&[b""])],
        vec![alpn(&[&b"x"[..]; 65])],
        vec![(ALPN, vec![])],
        vec![(ALPN, vec![0, 3, 2, b'h', b'2', 0])],
        vec![(SIGNATURES, vec![0, 3, 1, 1, 1])],
        vec![(VERSIONS, vec![1, 3])],
        vec![(SERVER_NAME, vec![0, 9, 0])],
        many,
    ] {
        assert_eq!(
            parse(&malformed),
            Err(HelloFault::Malformed),
            "{malformed:?}"
        );
    }
    assert_eq!(
        ClientHello::parse(&message(&[], &[])),
        Err(HelloFault::Malformed)
    );
}

#[test]
fn no_cut_message_parses() {
    let message = message(&[0x1301], &[names(&[b"a.example"]), alpn(&[b"h2"])]);
    for end in 0..message.len() {
        assert!(ClientHello::parse(&message[..end]).is_err(), "{end}");
    }
    let longer = [&message[..], b"x"].concat();
    assert!(ClientHello::parse(&longer).is_err());
}

#[test]
fn grease_is_known() {
    assert!(is_grease(0x0a0a) && is_grease(0xfafa) && is_grease(0x1a1a));
    assert!(!is_grease(0x0a1a) && !is_grease(0x1301) && !is_grease(0x0b0b));
}
