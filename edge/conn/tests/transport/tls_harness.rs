//! Certificates, a policy for three names, and a TLS client.

use std::net::SocketAddr;
use std::sync::Arc;

use edge_tls::{Choice, Scope, Terminate};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::Client;

/// An authority and what it signed.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn sign(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let der = key.serialize_der().try_into().unwrap();
        (vec![certificate.der().clone()], der)
    }

    pub(crate) fn client(&self) -> Pair {
        self.sign(&["alice.example"], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }
}

/// `a.example` for everyone, `mtls.example` for clients with a certificate, `proof.example` for
/// `acme-tls/1` only; other names are unknown, and so is no name.
#[derive(Debug)]
pub(crate) struct Policy {
    open: Arc<ServerConfig>,
    mtls: Arc<ServerConfig>,
    proof: Arc<ServerConfig>,
}

impl Policy {
    pub(crate) fn new(authority: &Authority) -> Arc<Self> {
        Arc::new(Self {
            open: config(authority, "a.example", false, &[b"h2", b"http/1.1"]),
            mtls: config(authority, "mtls.example", true, &[b"http/1.1"]),
            proof: config(authority, "proof.example", false, &[b"acme-tls/1"]),
        })
    }
}

impl Policy {
    /// The same, with TLS 1.3 early data, as nobody should configure it.
    pub(crate) fn with_early_data(&self) -> Arc<Self> {
        let mut open = ServerConfig::clone(&self.open);
        open.max_early_data_size = 16_384;
        Arc::new(Self {
            open: Arc::new(open),
            mtls: Arc::clone(&self.mtls),
            proof: Arc::clone(&self.proof),
        })
    }
}

fn config(ca: &Authority, name: &str, clients: bool, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if clients {
        let verifier = WebPkiClientVerifier::builder_with_provider(ca.roots(), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = ca.sign(&[name], ExtendedKeyUsagePurpose::ServerAuth);
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

impl Terminate for Policy {
    fn choose(&self, server_name: Option<&str>, protocols: &[&[u8]]) -> Option<Choice> {
        let acme = protocols == [b"acme-tls/1"];
        let config = match server_name? {
            "proof.example" if acme => &self.proof,
            "a.example" => &self.open,
            "mtls.example" => &self.mtls,
            _ => return None,
        };
        Some(Choice {
            config: Arc::clone(config),
            scope: Arc::new(SameName),
            acme,
        })
    }
}

/// The name of the handshake and no other.
#[derive(Debug)]
struct SameName;

impl Scope for SameName {
    fn covers(&self, server_name: Option<&str>, host: &str) -> bool {
        server_name == Some(host)
    }
}

/// How a client behaves.
pub(crate) struct Caller {
    pub(crate) config: ClientConfig,
}

impl Caller {
    pub(crate) fn new(authority: &Authority, protocols: &[&[u8]]) -> Self {
        Self::with(authority, protocols, None, rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn with(
        authority: &Authority,
        protocols: &[&[u8]],
        certificate: Option<Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(authority.roots());
        let mut config = match certificate {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self { config }
    }

    /// A connection after its handshake, or the client's view of why there is none.
    pub(crate) async fn call(
        &self,
        address: SocketAddr,
        name: &'static str,
    ) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name).unwrap();
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        connector.connect(name, tcp).await.map(Client)
    }
}
