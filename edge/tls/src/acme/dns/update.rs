//! Dynamic updates (RFC 2136), signed with TSIG (RFC 8945), over TCP.
//!
//! Only the one value is added and removed: a wildcard and its parent name are proven by two values at
//! one name, and somebody else's record there is not ours to touch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Tsig;
use hickory_proto::rr::{Name, RData, Record as Entry, RecordSet, TSigner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Action, Record};
use crate::acme::settings::Update;
use crate::acme::spec::TsigAlgorithm;

pub(super) async fn send(update: &Update, action: Action, record: &Record) -> Result<(), String> {
    let (mut message, signer) = prepare(update, action, record)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let verifier = message
        .finalize(&signer, now.as_secs())
        .map_err(|error| format!("cannot be signed: {error}"))?;
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let exchange = exchange(update.server, &bytes);
    let answer = tokio::time::timeout(update.timeout, exchange)
        .await
        .map_err(|_| {
            format!(
                "{} did not answer within {:?}",
                update.server, update.timeout
            )
        })?
        .map_err(|error| format!("{}: {error}", update.server))?;
    let code = Message::from_vec(&answer)
        .map_err(|error| format!("{} answered nonsense: {error}", update.server))?
        .metadata
        .response_code;
    if code != ResponseCode::NoError {
        return Err(format!(
            "{} refused the update of zone {}: {code:?}",
            update.server, update.zone
        ));
    }
    // A success that nobody signed proves nothing.
    if let Some(mut verifier) = verifier {
        verifier.verify(&answer).map_err(|error| {
            format!("{}: its answer is not signed right: {error}", update.server)
        })?;
    }
    Ok(())
}

fn prepare(update: &Update, action: Action, record: &Record) -> Result<(Message, TSigner), String> {
    let name = |text: &str| {
        let mut name = Name::from_ascii(text).map_err(|error| format!("{text}: {error}"))?;
        name.set_fqdn(true);
        Ok::<_, String>(name)
    };
    let zone = name(&update.zone)?;
    let owner = name(&record.name)?;
    if !zone.zone_of(&owner) {
        return Err(format!(
            "the record {} does not lie in the zone {}",
            record.name, update.zone
        ));
    }
    let text = RData::TXT(TXT::new(vec![record.value.clone()]));
    let entry = Entry::from_rdata(owner, TTL, text);
    let entries = RecordSet::from(entry);
    let message = match action {
        Action::Present => update_message::append(entries, zone, false, false),
        Action::Cleanup => update_message::delete_by_rdata(entries, zone, false),
    };
    let algorithm = match update.algorithm {
        TsigAlgorithm::HmacSha256 => Tsig::HmacSha256,
        TsigAlgorithm::HmacSha384 => Tsig::HmacSha384,
        TsigAlgorithm::HmacSha512 => Tsig::HmacSha512,
    };
    let secret = update.secret.bytes()?;
    let signer = TSigner::new(
        secret.expose().clone(),
        algorithm,
        name(&update.key)?,
        FUDGE.as_secs() as u16,
    )
    .map_err(|error| format!("TSIG key: {error}"))?;
    Ok((message, signer))
}

/// One message there and one back, each after its length (RFC 1035 section 4.2.2).
async fn exchange(server: std::net::SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

const TTL: u32 = 60;
/// How far the two clocks may be apart.
const FUDGE: Duration = Duration::from_secs(300);
