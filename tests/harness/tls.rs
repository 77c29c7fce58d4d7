//! TLS from outside: authorities that sign certificates, and clients that shake hands.
//!
//! Certificates are made on the spot, so nothing in the repository ever expires.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RevokedCertParams, RsaKeySize, SerialNumber,
    date_time_ymd,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};

use crate::Message;
use crate::client::request;
use crate::h2c::{self, Call, Reply};

/// A certificate and its key in PEM form.
#[derive(Debug, Clone)]
pub struct Pem {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The certificate's serial number.
    pub serial: u64,
}

/// Kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum KeyKind {
    Ecdsa,
    Rsa,
}

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate in PEM form.
    pub certificate: String,
}

impl Authority {
    /// A new one, self-signed.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these hosts.
    #[must_use]
    pub fn server(&self, names: &[&str], kind: KeyKind, serial: u64) -> Pem {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = named("server");
        self.sign(params, kind, serial)
    }

    /// A certificate for a client with this common name, over since 2001 if it is to be `expired`.
    #[must_use]
    pub fn client(&self, name: &str, serial: u64, expired: bool) -> Pem {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        self.sign(params, KeyKind::Ecdsa, serial)
    }

    /// The list of revoked certificates, in PEM form.
    #[must_use]
    pub fn revoked(&self, serials: &[u64]) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    fn sign(&self, mut params: CertificateParams, kind: KeyKind, serial: u64) -> Pem {
        params.serial_number = Some(SerialNumber::from(serial));
        let key = match kind {
            KeyKind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        let key = key.unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pem {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            serial,
        }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// A client that keeps its sessions between handshakes.
#[derive(Clone)]
pub struct Https {
    address: String,
    config: ClientConfig,
}

/// What a handshake led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Serial number of the certificate that was shown, as its last eight bytes.
    pub serial: u64,
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: String,
    /// The cipher suite as the library writes it.
    pub cipher: String,
    /// The key exchange as the library writes it.
    pub exchange: String,
    /// The protocol of ALPN.
    pub protocol: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// One connection.
pub struct HttpsConnection {
    reader: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Https {
    /// A client for this address that takes every certificate: what is shown is what is tested.
    #[must_use]
    pub fn to(address: &str) -> Self {
        Self::build(address, aws_lc_rs::default_provider(), &[], None)
    }

    /// A client that speaks only these versions.
    #[must_use]
    pub fn speaking(address: &str, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self::build(address, aws_lc_rs::default_provider(), versions, None)
    }

    /// A client that can verify only keys of this kind.
    #[must_use]
    pub fn verifying(address: &str, kind: KeyKind) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        let fits = |scheme: &SignatureScheme| {
            let name = format!("{scheme:?}");
            match kind {
                KeyKind::Ecdsa => name.starts_with("ECDSA"),
                KeyKind::Rsa => name.starts_with("RSA"),
            }
        };
        let schemes = provider.signature_verification_algorithms.mapping;
        let schemes: Vec<_> = schemes
            .iter()
            .filter(|(one, _)| fits(one))
            .copied()
            .collect();
        provider.signature_verification_algorithms.mapping = Box::leak(schemes.into());
        Self::build(address, provider, &[], None)
    }

    /// A client that shows a certificate.
    #[must_use]
    pub fn showing(address: &str, own: &Pem) -> Self {
        Self::build(address, aws_lc_rs::default_provider(), &[], Some(own))
    }

    fn build(
        address: &str,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Pem>,
    ) -> Self {
        let versions = if versions.is_empty() {
            rustls::ALL_VERSIONS
        } else {
            versions
        };
        let provider = Arc::new(provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
        let config = match own {
            Some(own) => {
                let chain = CertificateDer::pem_slice_iter(own.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Self {
            address: address.to_owned(),
            config,
        }
    }

    /// Offers these protocols.
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        self.config.alpn_protocols = protocols.collect();
        self
    }

    /// Shakes hands for `host`; an address sends no name.
    ///
    /// # Errors
    /// The connection or the handshake failed.
    pub fn connect(&self, host: &str) -> io::Result<HttpsConnection> {
        let name = ServerName::try_from(host.to_owned()).expect("a name or an address");
        let session =
            ClientConnection::new(Arc::new(self.config.clone()), name).map_err(io::Error::other)?;
        let mut tcp = TcpStream::connect(&self.address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let mut session = session;
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        Ok(HttpsConnection {
            reader: BufReader::new(StreamOwned::new(session, tcp)),
        })
    }

    /// `GET` for `host` on a fresh connection that asked for it.
    ///
    /// # Errors
    /// The handshake failed, or nothing was answered.
    pub fn get(&self, host: &str, target: &str) -> io::Result<Message> {
        self.connect(host)?.get(host, target)
    }

    /// Requests over HTTP/2 on one connection that asked for `host`.
    ///
    /// # Errors
    /// A stream was reset or the connection ended.
    pub fn exchange(&self, host: &str, requests: Vec<Call>) -> Result<Vec<Reply>, h2::Error> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(host.to_owned()).expect("a name or an address");
        h2c::exchange_over_tls(&self.address, config, name, requests)
    }
}

impl HttpsConnection {
    /// `GET` with this `Host`.
    ///
    /// # Errors
    /// Nothing was answered.
    pub fn get(&mut self, host: &str, target: &str) -> io::Result<Message> {
        self.ask(host, target, &[])
    }

    /// `GET` with this `Host` and further fields.
    ///
    /// # Errors
    /// Nothing was answered.
    pub fn ask(
        &mut self,
        host: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> io::Result<Message> {
        let fields: Vec<_> = fields
            .iter()
            .copied()
            .chain([("Host", host), ("Connection", "keep-alive")])
            .collect();
        self.reader
            .get_mut()
            .write_all(&request("GET", target, &fields, b""))?;
        let message = Message::read_head(&mut self.reader)?;
        let mut message = message.ok_or(io::ErrorKind::UnexpectedEof)?;
        message.read_body(&mut self.reader, false)?;
        Ok(message)
    }

    /// What the handshake led to. Tickets of TLS 1.3 come with the first answer.
    #[must_use]
    pub fn agreed(&self) -> Agreed {
        let session = &self.reader.get_ref().conn;
        let text = |value: Option<String>| value.unwrap_or_default();
        Agreed {
            serial: session
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map_or(0, |der| serial(der)),
            version: text(session.protocol_version().map(|one| format!("{one:?}"))),
            cipher: text(
                session
                    .negotiated_cipher_suite()
                    .map(|one| format!("{:?}", one.suite())),
            ),
            exchange: text(
                session
                    .negotiated_key_exchange_group()
                    .map(|one| format!("{:?}", one.name())),
            ),
            protocol: session
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Waits for the end of the connection.
    ///
    /// # Errors
    /// The peer ended it otherwise than by closing it.
    pub fn closed(&mut self) -> io::Result<()> {
        let mut rest = [0; 64];
        match self.reader.read(&mut rest)? {
            0 => Ok(()),
            _ => Err(io::Error::other("more was sent")),
        }
    }
}

/// The serial number: the first INTEGER after the version in a certificate's DER form.
fn serial(der: &[u8]) -> u64 {
    let at = der.windows(5).position(|part| part == [0xa0, 3, 2, 1, 2]);
    let rest = at.and_then(|at| der.get(at + 5..)).unwrap_or_default();
    let length = rest.get(1).map_or(0, |length| usize::from(*length));
    let bytes = rest.get(2..2 + length).unwrap_or_default();
    bytes
        .iter()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// Takes every certificate: what is shown is what is tested. Signatures are verified.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mapping = self.0.signature_verification_algorithms.mapping;
        mapping.iter().map(|(scheme, _)| *scheme).collect()
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
