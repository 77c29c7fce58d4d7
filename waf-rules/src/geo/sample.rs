//! Writes small MaxMind DB files for tests, after the format's specification 2.0.

use std::net::IpAddr;

/// A value of the data section.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// UTF-8 text.
    Text(&'static str),
    /// An unsigned number of two bytes.
    Short(u16),
    /// An unsigned number of four bytes.
    Whole(u32),
    /// An unsigned number of eight bytes.
    Long(u64),
    /// A double.
    Real(f64),
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Vec<(&'static str, Node)>),
}

impl Node {
    /// A map of these entries.
    pub(crate) fn map(entries: &[(&'static str, Self)]) -> Self {
        Self::Map(entries.to_vec())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                control(2, text.len(), out);
                out.extend(text.as_bytes());
            }
            Self::Real(number) => {
                control(3, 8, out);
                out.extend(number.to_be_bytes());
            }
            Self::Short(number) => {
                control(5, 2, out);
                out.extend(number.to_be_bytes());
            }
            Self::Long(number) => {
                control(9, 8, out);
                out.extend(number.to_be_bytes());
            }
            Self::Whole(number) => {
                control(6, 4, out);
                out.extend(number.to_be_bytes());
            }
            Self::Map(entries) => {
                control(7, entries.len(), out);
                for (key, value) in entries {
                    Self::Text(key).write(out);
                    value.write(out);
                }
            }
            Self::List(items) => {
                control(11, items.len(), out);
                for item in items {
                    item.write(out);
                }
            }
        }
    }
}

/// The control byte: type and size; types from 8 on take a second byte.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let size = u8::try_from(size).unwrap_or(28).min(28);
    if kind < 8 {
        out.push(kind << 5 | size);
    } else {
        out.push(size);
        out.push(kind - 7);
    }
}

/// A database with these networks, written `address/prefix`; IPv4 ones lie at `::/96`.
pub(crate) fn database(networks: &[(&str, &Node)]) -> Vec<u8> {
    // A node's two records: another node, nothing yet, or where a value lies in the data.
    let mut tree: Vec<[Record; 2]> = vec![[Record::Nothing; 2]];
    let mut data = Vec::new();
    for (network, node) in networks {
        let Some((bits, prefix)) = place(network) else {
            continue;
        };
        let offset = data.len();
        node.write(&mut data);
        let mut at = 0;
        for depth in 0..prefix {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            let fresh = tree.len();
            let Some(record) = tree.get_mut(at).and_then(|pair| pair.get_mut(side)) else {
                break;
            };
            if depth + 1 == prefix {
                *record = Record::Data(offset);
            } else if let Record::Node(next) = record {
                at = *next;
            } else {
                *record = Record::Node(fresh);
                at = fresh;
                tree.push([Record::Nothing; 2]);
            }
        }
    }
    assemble(&tree, &data)
}

#[derive(Debug, Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

/// The network's bits from the top, and how many of them count.
fn place(network: &str) -> Option<(u128, u32)> {
    let (address, prefix) = network.split_once('/')?;
    let prefix = prefix.parse::<u32>().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(address) => Some((u128::from(address.to_bits()), prefix + 96)),
        IpAddr::V6(address) => Some((address.to_bits(), prefix)),
    }
}

fn assemble(tree: &[[Record; 2]], data: &[u8]) -> Vec<u8> {
    let count = tree.len();
    let mut out = Vec::new();
    for record in tree.iter().flatten() {
        let number = match record {
            Record::Nothing => count,
            Record::Node(node) => *node,
            Record::Data(offset) => count + 16 + offset,
        };
        let number = u32::try_from(number).unwrap_or(0).to_be_bytes();
        out.extend(number.get(1..).unwrap_or_default());
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    Node::map(&[
        ("binary_format_major_version", Node::Short(2)),
        ("binary_format_minor_version", Node::Short(0)),
        ("build_epoch", Node::Long(1)),
        ("database_type", Node::Text("Test")),
        ("description", Node::map(&[])),
        ("ip_version", Node::Short(6)),
        ("languages", Node::List(Vec::new())),
        ("node_count", Node::Whole(u32::try_from(count).unwrap_or(0))),
        ("record_size", Node::Short(24)),
    ])
    .write(&mut out);
    out
}
