//! Asks name servers what they show: TXT and CNAME, one question a datagram.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;

/// The values of every TXT record at `name`.
pub(super) async fn texts(server: SocketAddr, name: &str) -> Result<Vec<String>, String> {
    let answer = ask(server, name, RecordType::TXT).await?;
    Ok(answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        })
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect())
}

/// Where CNAMEs at `name` lead in the end.
pub(super) async fn follow(resolvers: &[SocketAddr], name: String) -> Result<String, String> {
    let mut name = name;
    for _ in 0..MAX_ALIASES {
        match alias(resolvers, &name).await? {
            Some(target) => name = target,
            None => return Ok(name),
        }
    }
    Err(format!("more than {MAX_ALIASES} CNAMEs lead to {name}"))
}

/// The CNAME at `name`, from the first resolver that answers.
async fn alias(resolvers: &[SocketAddr], name: &str) -> Result<Option<String>, String> {
    let mut last = "there is no resolver".to_owned();
    for resolver in resolvers {
        match ask(*resolver, name, RecordType::CNAME).await {
            Ok(answer) => {
                return Ok(answer.answers.iter().find_map(|record| match &record.data {
                    RData::CNAME(target) => {
                        let target = target.0.to_ascii();
                        Some(target.trim_end_matches('.').to_owned())
                    }
                    _ => None,
                }));
            }
            Err(error) => last = error,
        }
    }
    Err(format!("looking for a CNAME at {name}: {last}"))
}

async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Result<Message, String> {
    let mut owner = Name::from_ascii(name).map_err(|error| error.to_string())?;
    owner.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(owner, kind));
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let work = async {
        let local: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((local, 0)).await?;
        // Connected: datagrams of others do not arrive.
        socket.connect(server).await?;
        socket.send(&bytes).await?;
        let mut answer = vec![0; 4096];
        loop {
            let count = socket.recv(&mut answer).await?;
            let read = answer.get(..count).and_then(|a| Message::from_vec(a).ok());
            let ours = read.filter(|read| {
                read.metadata.id == message.metadata.id && read.queries == message.queries
            });
            if let Some(ours) = ours {
                return Ok::<_, std::io::Error>(ours);
            }
        }
    };
    tokio::time::timeout(PATIENCE, work)
        .await
        .map_err(|_| format!("{server} does not answer"))?
        .map_err(|error| format!("{server}: {error}"))
}

const PATIENCE: Duration = Duration::from_secs(3);
const MAX_ALIASES: usize = 8;
