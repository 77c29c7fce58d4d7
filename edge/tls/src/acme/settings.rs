//! What ACME runs with: the section after every check.
//!
//! An [`Acme`] can only be made from an [`AcmeSpec`], and only if nothing is wrong with it. References
//! between entries are resolved: a certificate holds its account and its way to publish DNS records, so
//! that two certificates are equal exactly if they would be ordered alike. No file is read here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edge_core::Secret;

use super::check::Checks;
use super::spec::{AcmeSpec, Challenge, KeyType, Problem, TsigAlgorithm};

/// The checked section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    pub(crate) state: PathBuf,
    pub(crate) certificates: Vec<Arc<Certificate>>,
    pub(crate) on_demand: Option<OnDemand>,
    pub(crate) share: Option<Share>,
    pub(crate) retry: Retry,
}

impl Acme {
    /// Names there will be certificates for, as they are written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.certificates
            .iter()
            .flat_map(|certificate| certificate.names.iter().map(String::as_str))
    }

    /// True if names may be certified when a client asks for them.
    #[must_use]
    pub const fn is_on_demand(&self) -> bool {
        self.on_demand.is_some()
    }
}

impl TryFrom<AcmeSpec> for Acme {
    type Error = Vec<Problem>;

    fn try_from(spec: AcmeSpec) -> Result<Self, Vec<Problem>> {
        let mut check = Checks::default();
        if spec.state.is_empty() {
            check.error("state", "expected a folder");
        }
        let accounts: BTreeMap<String, Arc<Account>> = spec
            .accounts
            .into_iter()
            .map(|(name, spec)| (name.clone(), Arc::new(check.account(name, spec))))
            .collect();
        if accounts.is_empty() {
            check.error("accounts", "expected at least one account");
        }
        let dns: BTreeMap<String, Arc<Dns>> = spec
            .dns
            .into_iter()
            .map(|(name, spec)| (name.clone(), Arc::new(check.dns(&name, spec))))
            .collect();
        let certificates: Vec<_> = spec
            .certificates
            .into_iter()
            .enumerate()
            .filter_map(|(index, spec)| check.certificate(index, spec, &accounts, &dns))
            .map(Arc::new)
            .collect();
        check.distinct(&certificates);
        let on_demand = spec
            .on_demand
            .and_then(|spec| check.on_demand(&spec, &accounts, &dns));
        let share = spec.share.map(|spec| check.share(spec));
        let retry = Retry {
            first: check.time("retry.first", spec.retry.first, MIN_RETRY),
            longest: check.time("retry.longest", spec.retry.longest, spec.retry.first.0),
        };
        check.finish(Self {
            state: spec.state.into(),
            certificates,
            on_demand,
            share,
            retry,
        })
    }
}

/// An account at an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) directory: String,
    pub(crate) staging: Option<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) contact: Vec<String>,
    pub(crate) external: Option<(String, Source)>,
    pub(crate) orders_per_hour: u32,
    pub(crate) profile: Option<String>,
}

/// A certificate to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Names its files, and what is kept of it in Redis.
    pub(crate) id: String,
    /// Lower case, sorted, each once.
    pub(crate) names: Vec<String>,
    pub(crate) account: Arc<Account>,
    pub(crate) proof: Proof,
    pub(crate) key: KeyType,
    pub(crate) profile: Option<String>,
    pub(crate) on_demand: bool,
}

/// How control of names is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    Http01,
    TlsAlpn01,
    Dns01(Arc<Dns>),
}

/// A way to publish DNS records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dns {
    pub(crate) name: String,
    pub(crate) provider: Provider,
    pub(crate) resolvers: Vec<SocketAddr>,
    pub(crate) propagation: Duration,
    pub(crate) settle: Duration,
    pub(crate) follow_cname: bool,
}

/// Who changes the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Provider {
    Hook(Hook),
    Update(Update),
    Webhook(Webhook),
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) environment: BTreeMap<String, Secret<String>>,
}

/// A zone that takes dynamic updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) server: SocketAddr,
    pub(crate) zone: String,
    pub(crate) key: String,
    pub(crate) algorithm: TsigAlgorithm,
    pub(crate) secret: Source,
    pub(crate) timeout: Duration,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Webhook {
    pub(crate) url: String,
    pub(crate) bearer: Option<Source>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) timeout: Duration,
}

/// Names that may be ordered when they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnDemand {
    pub(crate) names: Vec<String>,
    pub(crate) account: Arc<Account>,
    pub(crate) proof: Proof,
    pub(crate) key: KeyType,
    pub(crate) per_minute: u32,
    pub(crate) limit: usize,
}

/// Other instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) redis: Secret<String>,
    pub(crate) key: Source,
    pub(crate) prefix: String,
}

/// Waits between orders that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

/// Where a secret comes from; files are read at each use, so that a secret can be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Value(Secret<String>),
    File(PathBuf),
}

impl OnDemand {
    /// True if `name` (lower case) may be ordered.
    pub(crate) fn allows(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|allowed| match allowed.strip_prefix("*.") {
                Some(suffix) => name
                    .split_once('.')
                    .is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
                None => allowed == name,
            })
    }

    /// The certificate for `name`.
    pub(crate) fn certificate(&self, name: &str) -> Certificate {
        Certificate::new(
            vec![name.to_owned()],
            self.account.clone(),
            self.proof.clone(),
            self.key,
        )
        .on_demand()
    }
}

impl Proof {
    /// As the configuration and the authority call it.
    pub(crate) const fn kind(&self) -> Challenge {
        match self {
            Self::Http01 => Challenge::Http01,
            Self::TlsAlpn01 => Challenge::TlsAlpn01,
            Self::Dns01(_) => Challenge::Dns01,
        }
    }
}

const MIN_RETRY: Duration = Duration::from_millis(100);
