//! The admin listener, and what concerns the process as a whole.

use edge_core::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// The listener for health checks and metrics.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum AdminSpec {
    /// The word `off`.
    Switch(AdminSwitch),
    /// Where it listens.
    Address(AdminAddressSpec),
}

/// Closes the admin listener.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AdminSwitch {
    /// There is no admin listener.
    Off,
}

/// Where the admin listener listens.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminAddressSpec {
    /// Address and port. It has no authentication of its own: keep it on the loopback interface or
    /// behind a firewall. Port 0 takes a free one, which the log names.
    #[serde(default = "admin_address")]
    pub(crate) address: String,
    /// Host names it answers to besides addresses and `localhost`. Others are refused, so that no web
    /// page can reach it through a browser (DNS rebinding).
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Allows files of `conf.d` to be read and changed through `/api/v1/fragments/NAME`. Without it, the
    /// admin listener changes nothing.
    #[serde(default)]
    pub(crate) write: Option<AdminWriteSpec>,
}

/// Who may change the configuration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminWriteSpec {
    /// What requests have to show as `Authorization: Bearer TOKEN`: at least 16 characters, and best a
    /// variable (`${ADMIN_TOKEN}`), so that it stands in no file.
    #[schemars(with = "String")]
    pub(crate) token: Token,
}

/// A secret text.
#[derive(Debug, Clone)]
pub(crate) struct Token(pub(crate) Secret<String>);

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Secret::new(text)))
    }
}

impl Default for AdminSpec {
    fn default() -> Self {
        Self::Address(AdminAddressSpec {
            address: admin_address(),
            hosts: Vec::new(),
            write: None,
        })
    }
}

fn admin_address() -> String {
    "127.0.0.1:9901".to_owned()
}

/// The header in which a proxy hands over the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// Worker threads.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum WorkersSpec {
    /// As many as it takes.
    Auto(AutoWord),
    /// A fixed number.
    Number(#[schemars(range(min = 1, max = 1024))] u16),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AutoWord {
    /// One for each processor.
    Auto,
}

impl Default for WorkersSpec {
    fn default() -> Self {
        Self::Auto(AutoWord::Auto)
    }
}
