//! What `palisade check` asks: would everything be found that is needed?

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::https::roots;
use super::settings::{Account, Acme, Dns, Proof, Provider};
use super::state::State;

/// Everything that would be missing, each in one line; makes nothing.
#[must_use]
pub fn probe(acme: &Acme) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(error) = folder(&acme.state) {
        wrong.push(format!("tls.acme.state: {error}"));
    }
    let on_demand = acme.on_demand.iter();
    let all = acme
        .certificates
        .iter()
        .map(|certificate| (&*certificate.account, &certificate.proof))
        .chain(on_demand.map(|on_demand| (&*on_demand.account, &on_demand.proof)));
    for (account, proof) in all {
        wrong.extend(of_account(account));
        if let Proof::Dns01(dns) = proof {
            wrong.extend(of_dns(dns));
        }
    }
    if let Some(share) = &acme.share
        && let Err(error) = share.key.bytes()
    {
        wrong.push(format!("tls.acme.share.key_file: {error}"));
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

fn folder(path: &Path) -> Result<(), String> {
    if path.exists() {
        return State::open(path)
            .map(drop)
            .map_err(|error| error.to_string());
    }
    let parent = path
        .ancestors()
        .skip(1)
        .map(|parent| {
            if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            }
        })
        .find(|parent| parent.exists());
    let parent = parent.ok_or_else(|| format!("{}: it cannot be made", path.display()))?;
    let said = |error: std::io::Error| {
        format!(
            "{}: it cannot be made in {}: {error}",
            path.display(),
            parent.display()
        )
    };
    let found = fs::metadata(parent).map_err(said)?;
    if !found.is_dir() || found.mode() & 0o222 == 0 {
        return Err(format!(
            "{}: it cannot be made: {} is not a folder that can be written",
            path.display(),
            parent.display()
        ));
    }
    // The one proof of a right to write is a write.
    let trial = parent.join(format!(".palisade-{}", std::process::id()));
    fs::write(&trial, b"").map_err(said)?;
    fs::remove_file(&trial).map_err(said)
}

fn of_account(account: &Account) -> Vec<String> {
    let mut wrong = Vec::new();
    let path = format!("tls.acme.accounts.{}", account.name);
    if let Some(ca) = &account.ca
        && let Err(error) = roots(ca)
    {
        wrong.push(format!("{path}.ca: {}: {error}", ca.display()));
    }
    if let Some((_, secret)) = &account.external
        && let Err(error) = secret.bytes()
    {
        wrong.push(format!("{path}.external_account.secret: {error}"));
    }
    wrong
}

fn of_dns(dns: &Dns) -> Vec<String> {
    let mut wrong = Vec::new();
    let path = format!("tls.acme.dns.{}", dns.name);
    match &dns.provider {
        Provider::Hook(hook) => {
            if hook.program.contains('/') && !Path::new(&hook.program).is_file() {
                wrong.push(format!(
                    "{path}.hook.command: {} is not there",
                    hook.program
                ));
            }
        }
        Provider::Update(update) => {
            if let Err(error) = update.secret.bytes() {
                wrong.push(format!("{path}.update.secret: {error}"));
            }
        }
        Provider::Webhook(webhook) => {
            if let Some(ca) = &webhook.ca
                && let Err(error) = roots(ca)
            {
                wrong.push(format!("{path}.webhook.ca: {}: {error}", ca.display()));
            }
            if let Some(Err(error)) = webhook.bearer.as_ref().map(super::settings::Source::read) {
                wrong.push(format!("{path}.webhook.bearer: {error}"));
            }
        }
    }
    wrong
}
