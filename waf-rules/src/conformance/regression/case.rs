//! The format of a case: what is sent, which rules run, what must come of it.
//!
//! The suite repeats names within an object, headers among them, so its files are read into a tree
//! that keeps every member in its order; of a member that occurs twice the last one counts.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) protocol: String,
    pub(super) request_headers: Pairs,
    pub(super) request_body: String,
    pub(super) response_protocol: String,
    pub(super) response_headers: Pairs,
    pub(super) response_body: String,
    pub(super) rules: String,
    pub(super) http_code: Option<u16>,
    pub(super) redirect_url: Option<String>,
    pub(super) parser_error: Option<String>,
    pub(super) debug_log: Option<String>,
    pub(super) error_log: Option<String>,
    pub(super) audit_log: Option<String>,
}

/// Names with values, in their order.
pub(super) type Pairs = Vec<(String, String)>;

/// The cases of one file.
pub(super) fn parse(text: &str) -> Vec<Case> {
    let Ok(Node::List(cases)) = serde_json::from_str(text) else {
        panic!("a list of cases");
    };
    cases.iter().map(case).collect()
}

fn case(node: &Node) -> Case {
    let text = |path: [&str; 2]| node.at(path).map(Node::text);
    let expected = |key| text(["expected", key]).filter(|text| !text.is_empty());
    let version = text(["request", "http_version"]);
    Case {
        client: address(node, "client"),
        server: address(node, "server"),
        method: text(["request", "method"]).unwrap_or_default(),
        target: text(["request", "uri"]).unwrap_or_default(),
        // Without a version its runner says `HTTP/`, which the offsets of the suite count on.
        protocol: format!("HTTP/{}", version.unwrap_or_default()),
        request_headers: pairs(node.at(["request", "headers"])),
        request_body: text(["request", "body"]).unwrap_or_default(),
        response_protocol: text(["response", "protocol"]).unwrap_or_else(|| "HTTP/1.1".to_owned()),
        response_headers: pairs(node.at(["response", "headers"])),
        response_body: text(["response", "body"]).unwrap_or_default(),
        rules: node.member("rules").map(Node::text).unwrap_or_default(),
        http_code: text(["expected", "http_code"]).and_then(|code| code.parse().ok()),
        redirect_url: expected("redirect_url"),
        parser_error: expected("parser_error"),
        debug_log: expected("debug_log"),
        error_log: expected("error_log"),
        audit_log: expected("audit_log"),
    }
}

fn address(node: &Node, end: &str) -> SocketAddr {
    let text = |key| node.at([end, key]).map(Node::text);
    let ip = text("ip").and_then(|ip| ip.parse().ok());
    let port = text("port").and_then(|port| port.parse().ok());
    SocketAddr::new(
        ip.unwrap_or_else(|| IpAddr::from([127, 0, 0, 1])),
        port.unwrap_or(0),
    )
}

fn pairs(node: Option<&Node>) -> Pairs {
    match node {
        Some(Node::Object(members)) => members
            .iter()
            .map(|(name, value)| (name.clone(), value.text()))
            .collect(),
        _ => Vec::new(),
    }
}

/// A JSON value.
#[derive(Debug)]
enum Node {
    /// Text, or the text of a number.
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    fn member(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        let found = members.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, node)| node)
    }

    fn at(&self, [outer, inner]: [&str; 2]) -> Option<&Self> {
        self.member(outer)?.member(inner)
    }

    /// The text, of a list its lines.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(lines) => lines.iter().map(|line| line.text() + "\n").collect(),
            Self::Object(_) => String::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Text(format!("{number:?}")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}
