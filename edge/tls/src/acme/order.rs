//! One order from the first request to the certificate (RFC 8555 section 7.4).
//!
//! Proofs are taken back whatever happens. Nothing is kept here: the caller installs and stores.

use std::time::{Duration, SystemTime};

use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};

use super::accounts::Open;
use super::failure::Failure;
use super::material::{self, Material};
use super::proofs::{Pending, Proofs};
use super::settings::{Certificate, Proof};
use super::world::World;

/// Orders `certificate` with `open`.
pub(crate) async fn order(
    world: &World,
    certificate: &Certificate,
    open: &Open,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Material, Failure> {
    let mut proofs = Proofs::new(world);
    let ordered = tokio::time::timeout(
        PATIENCE + propagation(certificate),
        steps(certificate, open, replaces, &mut proofs),
    )
    .await;
    proofs.take_back().await;
    let mut result = ordered.unwrap_or_else(|_| Err(Failure::new("the order", "it took too long")));
    if let Err(failure) = &mut result {
        failure.retry_after = open.https.retry_after();
    }
    result
}

async fn steps(
    certificate: &Certificate,
    open: &Open,
    replaces: Option<CertificateIdentifier<'static>>,
    proofs: &mut Proofs<'_>,
) -> Result<Material, Failure> {
    let mut order = place(certificate, open, replaces).await?;
    let pending = pending(&mut order, certificate).await?;
    if !pending.is_empty() {
        proofs.publish(certificate, pending).await?;
        answer(&mut order, certificate).await?;
        ready(&mut order).await?;
    }
    collect(&mut order, certificate).await
}

/// Places the order; without `replaces` again if the authority will not have it.
async fn place(
    certificate: &Certificate,
    open: &Open,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Order, Failure> {
    let identifiers: Vec<Identifier> = certificate
        .names
        .iter()
        .map(|name| Identifier::Dns(name.clone()))
        .collect();
    let profile = profile(certificate, open)?;
    let request = || {
        let order = NewOrder::new(&identifiers);
        match profile {
            Some(profile) => order.profile(profile),
            None => order,
        }
    };
    if let Some(replaces) = replaces {
        match open.account.new_order(&request().replaces(replaces)).await {
            Ok(order) => return Ok(order),
            // Replaced already, or by an account that may not: the order is good without.
            Err(instant_acme::Error::Api(_) | instant_acme::Error::Unsupported(_)) => {}
            Err(error) => return Err(Failure::acme("placing the order", &error)),
        }
    }
    open.account
        .new_order(&request())
        .await
        .map_err(|error| Failure::acme("placing the order", &error))
}

/// The profile to ask for; none where the authority knows of no profiles.
fn profile<'a>(certificate: &'a Certificate, open: &Open) -> Result<Option<&'a str>, Failure> {
    let Some(wanted) = certificate.profile() else {
        return Ok(None);
    };
    let offered: Vec<String> = open
        .account
        .profiles()
        .map(|profile| profile.name.to_owned())
        .collect();
    if offered.is_empty() {
        tracing::warn!(
            certificate = certificate.id,
            profile = wanted,
            "the ACME authority offers no profiles; ordered without"
        );
        return Ok(None);
    }
    if offered.iter().any(|name| name == wanted) {
        return Ok(Some(wanted));
    }
    Err(Failure::new(
        "placing the order",
        format!(
            "the authority offers no profile `{wanted}`, only {}",
            offered.join(", ")
        ),
    ))
}

/// What has to be proven.
async fn pending(order: &mut Order, certificate: &Certificate) -> Result<Vec<Pending>, Failure> {
    let step = "reading what has to be proven";
    let mut pending = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| Failure::acme(step, &error))?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => return Err(Failure::new(step, format!("an authorization is {other:?}"))),
        }
        let Identifier::Dns(domain) = authorization.identifier().identifier.clone() else {
            return Err(Failure::new(step, "it is not a host name"));
        };
        let kind = kind(&certificate.proof);
        let Some(challenge) = authorization.challenge(kind) else {
            let message = format!("the authority does not take this proof for {domain}");
            return Err(Failure::new(step, message));
        };
        let authorization = challenge.key_authorization();
        pending.push(Pending {
            token: challenge.token.clone(),
            authorization: authorization.as_str().to_owned(),
            dns_value: authorization.dns_value(),
            domain,
        });
    }
    Ok(pending)
}

/// Tells the authority that everything is to be found.
async fn answer(order: &mut Order, certificate: &Certificate) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let step = "telling the authority to look";
        let mut authorization = authorization.map_err(|error| Failure::acme(step, &error))?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        if let Some(mut challenge) = authorization.challenge(kind(&certificate.proof)) {
            challenge
                .set_ready()
                .await
                .map_err(|error| Failure::acme(step, &error))?;
        }
    }
    Ok(())
}

/// Waits until the authority has looked, and says what it found wrong.
async fn ready(order: &mut Order) -> Result<(), Failure> {
    let step = "proving control of the names";
    let polled = order.poll_ready(&RETRY).await;
    if matches!(polled, Ok(OrderStatus::Ready | OrderStatus::Valid)) {
        return Ok(());
    }
    // What went wrong stands in the challenges; the order only says that something did.
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = authorization.identifier().to_string();
        if authorization.refresh().await.is_err() {
            continue;
        }
        let error = authorization
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = error {
            return Err(Failure::refused(format!("{step}: {domain}"), problem));
        }
    }
    match polled {
        Ok(status) => Err(Failure::new(step, format!("the order is {status:?}"))),
        Err(error) => Err(Failure::acme(step, &error)),
    }
}

/// Sends the signing request and fetches the certificate.
async fn collect(order: &mut Order, certificate: &Certificate) -> Result<Material, Failure> {
    let step = "asking for the certificate";
    let kind = certificate.key;
    let key = tokio::task::spawn_blocking(move || material::new_key(kind))
        .await
        .map_err(|error| Failure::new("making the key", error.to_string()))?
        .map_err(|error| Failure::new("making the key", error.to_string()))?;
    let request = material::request(&certificate.names, &key)
        .map_err(|error| Failure::new("making the signing request", error.to_string()))?;
    order
        .finalize_csr(&request)
        .await
        .map_err(|error| Failure::acme(step, &error))?;
    let chain = order
        .poll_certificate(&RETRY)
        .await
        .map_err(|error| Failure::acme(step, &error))?;
    let pem = format!("{}{}", key.serialize_pem(), chain);
    let material = Material::from_pem(pem)
        .map_err(|error| Failure::new("reading the certificate that was issued", error))?;
    if !material.covers(&certificate.names) {
        let message = "it does not certify all the names that were ordered";
        return Err(Failure::new(
            "reading the certificate that was issued",
            message,
        ));
    }
    if material.not_after <= SystemTime::now() {
        let message = "it has ended already: is the clock right?";
        return Err(Failure::new(
            "reading the certificate that was issued",
            message,
        ));
    }
    Ok(material)
}

const fn kind(proof: &Proof) -> ChallengeType {
    match proof {
        Proof::Http01 => ChallengeType::Http01,
        Proof::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Proof::Dns01(_) => ChallengeType::Dns01,
    }
}

fn propagation(certificate: &Certificate) -> Duration {
    match &certificate.proof {
        Proof::Dns01(dns) => dns.propagation + dns.settle,
        Proof::Http01 | Proof::TlsAlpn01 => Duration::ZERO,
    }
}

/// For a whole order, without the time records take to show.
const PATIENCE: Duration = Duration::from_secs(300);
const RETRY: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));
