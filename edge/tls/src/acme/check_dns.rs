//! Finds everything that is wrong with `tls.acme.dns`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::Name;

use super::check::Checks;
use super::secrets;
use super::settings::{Dns, Hook, Provider, Source, Update, Webhook};
use super::spec::{DnsSpec, HookSpec, UpdateSpec, WebhookSpec};

impl Checks {
    pub(crate) fn dns(&mut self, name: &str, spec: DnsSpec) -> Dns {
        let path = format!("dns.{name}");
        let mut resolvers = self.addresses(&format!("{path}.resolvers"), &spec.resolvers);
        let provider = match (spec.hook, spec.update, spec.webhook) {
            (Some(hook), None, None) => self.hook(&format!("{path}.hook"), hook),
            (None, Some(update), None) => {
                let update = self.update(&format!("{path}.update"), update);
                if resolvers.is_empty() {
                    resolvers.push(update.server);
                }
                Provider::Update(update)
            }
            (None, None, Some(webhook)) => self.webhook(&format!("{path}.webhook"), webhook),
            _ => {
                let message = "expected exactly one of `hook`, `update` and `webhook`";
                self.error(&path, message);
                Provider::Hook(Hook {
                    program: String::new(),
                    arguments: Vec::new(),
                    timeout: MIN_TIMEOUT,
                    environment: Default::default(),
                })
            }
        };
        if spec.follow_cname && resolvers.is_empty() {
            self.error(format!("{path}.follow_cname"), "this needs `resolvers`");
        }
        Dns {
            name: name.to_owned(),
            provider,
            resolvers,
            propagation: self.time(
                &format!("{path}.propagation"),
                spec.propagation,
                MIN_TIMEOUT,
            ),
            settle: self.time(&format!("{path}.settle"), spec.settle, Duration::ZERO),
            follow_cname: spec.follow_cname,
        }
    }

    fn hook(&mut self, path: &str, spec: HookSpec) -> Provider {
        let mut command = spec.command.into_iter();
        let program = command.next().unwrap_or_default();
        if program.is_empty() {
            self.error(format!("{path}.command"), "expected a command");
        }
        Provider::Hook(Hook {
            program,
            arguments: command.collect(),
            timeout: self.time(&format!("{path}.timeout"), spec.timeout, MIN_TIMEOUT),
            environment: spec
                .environment
                .into_iter()
                .map(|(name, value)| (name, value.0))
                .collect(),
        })
    }

    fn update(&mut self, path: &str, spec: UpdateSpec) -> Update {
        let secret = self.secret(path, "secret", spec.secret, spec.secret_file);
        if let Source::Value(secret) = &secret
            && secrets::base64(secret.expose()).is_none()
        {
            self.error(format!("{path}.secret"), "expected base64");
        }
        let server = self.addresses(&format!("{path}.server"), &[spec.server]);
        for (key, name) in [("zone", &spec.zone), ("key", &spec.key)] {
            if name.is_empty() || Name::from_ascii(name).is_err() {
                self.error(format!("{path}.{key}"), "expected a DNS name");
            }
        }
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        Update {
            server: server.first().copied().unwrap_or(nobody),
            zone: spec.zone,
            key: spec.key,
            algorithm: spec.algorithm,
            secret,
            timeout: self.time(&format!("{path}.timeout"), spec.timeout, MIN_TIMEOUT),
        }
    }

    fn webhook(&mut self, path: &str, spec: WebhookSpec) -> Provider {
        self.url(&format!("{path}.url"), &spec.url);
        let bearer = (spec.bearer.is_some() || spec.bearer_file.is_some())
            .then(|| self.secret(path, "bearer", spec.bearer, spec.bearer_file));
        Provider::Webhook(Webhook {
            url: spec.url,
            bearer,
            // Empty is what an unset variable leaves.
            ca: spec.ca.filter(|ca| !ca.is_empty()).map(Into::into),
            timeout: self.time(&format!("{path}.timeout"), spec.timeout, MIN_TIMEOUT),
        })
    }

    fn addresses(&mut self, path: &str, texts: &[String]) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.error(path, "expected an address and port, `192.0.2.53:53`"),
            }
        }
        addresses
    }
}

const MIN_TIMEOUT: Duration = Duration::from_millis(100);
