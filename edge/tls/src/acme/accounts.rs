//! Accounts at authorities: made once, kept in the state folder, opened when they are first needed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{AccountCredentials, ExternalAccountKey, NewAccount};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::failure::Failure;
use super::https::Https;
use super::settings::Account;
use super::state::State;

/// An account that is open.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) account: instant_acme::Account,
    pub(crate) https: Https,
    file: String,
}

/// Every account that was opened; one is opened once, however many orders wait for it.
#[derive(Default)]
pub(crate) struct Accounts {
    open: Mutex<HashMap<String, Arc<Mutex<Option<Open>>>>>,
}

impl Accounts {
    /// The account of `settings` at `directory` (production or staging).
    pub(crate) async fn open(
        &self,
        state: &State,
        settings: &Account,
        directory: &str,
    ) -> Result<Open, Failure> {
        let file = file_name(&settings.name, directory);
        let slot = self
            .open
            .lock()
            .await
            .entry(file.clone())
            .or_default()
            .clone();
        let mut slot = slot.lock().await;
        if let Some(open) = &*slot {
            return Ok(open.clone());
        }
        let open = open(state, settings, directory, file).await?;
        Ok(slot.insert(open).clone())
    }

    /// Opens the account anew next time: addresses in the directory may have changed.
    pub(crate) async fn close(&self, open: &Open) {
        self.open.lock().await.remove(&open.file);
    }

    /// Makes the account anew next time: the authority does not know it.
    pub(crate) async fn forget(&self, state: &State, open: &Open) {
        state.forget_account(&open.file);
        self.close(open).await;
    }
}

async fn open(
    state: &State,
    settings: &Account,
    directory: &str,
    file: String,
) -> Result<Open, Failure> {
    let https = client(settings.ca.as_deref())?;
    let builder = || instant_acme::Account::builder_with_http(Box::new(https.clone()));
    let step = format!("asking {directory} for its directory");
    if let Some(credentials) = state.account::<AccountCredentials>(&file) {
        let account = builder()
            .from_credentials(credentials)
            .await
            .map_err(|error| Failure::acme(step, &error))?;
        return Ok(Open {
            account,
            https,
            file,
        });
    }
    let external = match &settings.external {
        Some((id, secret)) => {
            let step = format!("reading the external account of `{}`", settings.name);
            let secret = secret.bytes().map_err(|error| Failure::new(step, error))?;
            Some(ExternalAccountKey::new(id.clone(), secret.expose()))
        }
        None => None,
    };
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        // Checked: without the operator's word there is no account.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder()
        .create(&new, directory.to_owned(), external.as_ref())
        .await
        .map_err(|error| {
            let step = format!("making the account `{}` at {directory}", settings.name);
            Failure::acme(step, &error)
        })?;
    state
        .save_account(&file, &credentials)
        .map_err(|error| Failure::new("keeping the new account", error.to_string()))?;
    tracing::info!(
        account = settings.name,
        directory,
        id = account.id(),
        "ACME account made"
    );
    Ok(Open {
        account,
        https,
        file,
    })
}

fn client(ca: Option<&Path>) -> Result<Https, Failure> {
    Https::new(ca, PATIENCE).map_err(|error| {
        let file = ca.map_or("of the system".into(), Path::to_string_lossy);
        Failure::new(
            format!("reading the certificates {file}"),
            error.to_string(),
        )
    })
}

/// Accounts at two directories never share a file.
fn file_name(name: &str, directory: &str) -> String {
    let hash = Sha256::digest(directory.as_bytes());
    let hash: String = hash
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{name}-{hash}")
}

/// For one request.
const PATIENCE: Duration = Duration::from_secs(30);
