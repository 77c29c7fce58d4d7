//! DNS-01 (RFC 8555 section 8.4): records are published, seen to show, and taken back.

mod hook;
mod query;
mod update;
mod webhook;

use std::time::{Duration, Instant};

use super::settings::{Dns, Provider};

/// A record that is published.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// The name that is proven, without `*.`.
    pub(crate) domain: String,
    /// Where the authority looks, or where a CNAME there points.
    pub(crate) name: String,
    /// What it looks for.
    pub(crate) value: String,
}

/// What is asked of a provider.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    Present,
    Cleanup,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Cleanup => "cleanup",
        }
    }
}

impl Dns {
    /// The record that proves control of `domain`.
    pub(crate) async fn record(&self, domain: &str, value: String) -> Result<Record, String> {
        let mut name = format!("_acme-challenge.{domain}");
        if self.follow_cname {
            name = query::follow(&self.resolvers, name).await?;
        }
        Ok(Record {
            domain: domain.to_owned(),
            name,
            value,
        })
    }

    /// Publishes a record, or takes it back.
    pub(crate) async fn act(&self, action: Action, record: &Record) -> Result<(), String> {
        let result = match &self.provider {
            Provider::Hook(hook) => hook::run(hook, action, record).await,
            Provider::Update(update) => update::send(update, action, record).await,
            Provider::Webhook(webhook) => webhook::post(webhook, action, record).await,
        };
        result.map_err(|error| format!("`dns.{}`, {}: {error}", self.name, action.name()))
    }

    /// Waits until every resolver shows every record.
    pub(crate) async fn shows(&self, records: &[Record]) -> Result<(), String> {
        tokio::time::sleep(self.settle).await;
        let deadline = Instant::now() + self.propagation;
        for record in records {
            for resolver in &self.resolvers {
                loop {
                    let seen = match query::texts(*resolver, &record.name).await {
                        Ok(texts) if texts.contains(&record.value) => break,
                        Ok(texts) => format!("it shows {} other values", texts.len()),
                        Err(error) => error,
                    };
                    if Instant::now() >= deadline {
                        return Err(format!(
                            "the record {} did not show at {resolver} within {:?}: {seen}",
                            record.name, self.propagation
                        ));
                    }
                    tokio::time::sleep(LOOK_AGAIN.min(self.propagation / 10)).await;
                }
            }
        }
        Ok(())
    }
}

const LOOK_AGAIN: Duration = Duration::from_secs(2);
