//! What a verified client certificate says about its holder.

use std::fmt::Write as _;
use std::net::IpAddr;

use edge_core::ClientCertificate;
use sha2::{Digest as _, Sha256};
use x509_parser::asn1_rs::ToDer as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

/// Reads the facts out of a certificate that was verified; `None` if its form cannot be read, and then
/// nobody has been identified.
#[must_use]
pub fn client_certificate(der: &[u8]) -> Option<ClientCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternative = certificate.subject_alternative_name().ok()?;
    let alternative = alternative.map(|extension| &extension.value.general_names);
    let names = alternative.into_iter().flatten().filter_map(name);
    Some(ClientCertificate {
        subject: distinguished(certificate.subject()).into(),
        issuer: distinguished(certificate.issuer()).into(),
        serial: hex(certificate.raw_serial()).into(),
        sha256: hex(&Sha256::digest(der)).into(),
        names: names.take(NAMES_MOST).map(Into::into).collect(),
        der: der.into(),
    })
}

/// An alternative name with its kind in front; kinds nobody identifies clients by are left out.
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::RFC822Name(address) => Some(format!("email:{address}")),
        GeneralName::URI(uri) => Some(format!("URI:{uri}")),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from).ok();
            let address = v4.or_else(|| <[u8; 16]>::try_from(*bytes).map(IpAddr::from).ok());
            address.map(|address| format!("IP:{address}"))
        }
        _ => None,
    }
}

/// A distinguished name as RFC 4514 writes it: the most specific part first.
fn distinguished(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (index, part) in parts.into_iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            push_attribute(&mut text, attribute);
        }
    }
    text
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    let keyword = KEYWORDS.iter().find(|(known, _)| *known == oid);
    match (keyword, attribute.as_str()) {
        (Some((_, keyword)), Ok(value)) => {
            let _ = write!(text, "{keyword}=");
            push_escaped(text, value);
        }
        (keyword, _) => {
            let kind = keyword.map_or(oid.as_str(), |(_, keyword)| *keyword);
            let value = attribute.attr_value().to_der_vec().unwrap_or_default();
            let _ = write!(text, "{kind}=#{}", hex(&value));
        }
    }
}

/// RFC 4514 section 2.4; control characters too, so that the text is safe in logs and headers.
fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (index, char) in value.chars().enumerate() {
        match char {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => {
                text.push('\\');
                text.push(char);
            }
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            '#' if index == 0 => text.push_str("\\#"),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\{byte:02x}");
                }
            }
            plain => text.push(plain),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The attributes RFC 4514 has words for; others are written by number.
const KEYWORDS: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];
/// Nobody has more.
const NAMES_MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(edit: impl FnOnce(&mut CertificateParams)) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        client_certificate(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn names_are_written_after_rfc_4514() {
        let read = certificate(|params| {
            let name = &mut params.distinguished_name;
            name.push(DnType::CountryName, "AT");
            name.push(DnType::OrganizationName, "Smith, Jones + Co \"x\"");
            name.push(DnType::CommonName, " #a\u{7}é ");
            name.push(DnType::CustomDnType(vec![2, 5, 4, 12]), "Dr");
            params.serial_number = Some(vec![0x01, 0xab].into());
        });
        let expected = r#"2.5.4.12=#0c024472,CN=\ #a\07é\ ,O=Smith\, Jones \+ Co \"x\",C=AT"#;
        assert_eq!(&*read.subject, expected);
        assert_eq!(read.issuer, read.subject);
        assert_eq!(&*read.serial, "01ab");
        assert_eq!(hex(&Sha256::digest(&read.der)), *read.sha256);
    }

    #[test]
    fn alternative_names_say_their_kind() {
        let read = certificate(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName("a.example".try_into().unwrap()),
                SanType::URI("spiffe://a/b".try_into().unwrap()),
                SanType::Rfc822Name("a@example.org".try_into().unwrap()),
                SanType::IpAddress("2001:db8::1".parse().unwrap()),
            ];
        });
        let names: Vec<&str> = read.names.iter().map(AsRef::as_ref).collect();
        let expected = [
            "DNS:a.example",
            "URI:spiffe://a/b",
            "email:a@example.org",
            "IP:2001:db8::1",
        ];
        assert_eq!(names, expected);
        assert_eq!(client_certificate(b"none"), None);
    }
}
