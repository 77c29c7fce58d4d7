//! `SecGeoLookupDb`: where an address is, from a file in MaxMind's DB format.
//!
//! Reads the nested form of GeoIP2, GeoLite2 and DB-IP as well as flat forms such as IPinfo's. The
//! legacy GeoIP format is refused. The file is held whole in memory, and every offset in it is checked
//! by the reader: a damaged file leaves fields out, it never does worse.

use std::fmt;
use std::net::IpAddr;

use maxminddb::{LookupResult, PathElement, Reader};
use serde::Deserialize;

/// Longest text a field may have.
const TEXT: usize = 256;

/// A database that is open.
pub(crate) struct Geo {
    reader: Reader<Vec<u8>>,
}

impl Geo {
    /// Opens the database in `bytes`.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        match Reader::from_source(bytes) {
            Ok(reader) => Ok(Self { reader }),
            Err(error) => Err(format!(
                "it is no MaxMind DB file ({error}); the legacy GeoIP format (.dat) is not read, \
                 take a .mmdb file"
            )),
        }
    }

    /// The members of `GEO` for `address`; `None` if the database does not know it.
    pub(crate) fn look_up(&self, address: IpAddr) -> Option<Vec<Field>> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        if !found.has_data() {
            return None;
        }
        let fields = FIELDS.iter().filter_map(|(name, paths)| {
            let value = paths.iter().find_map(|path| scalar(&found, path))?;
            Some((*name, value.text()?))
        });
        Some(fields.collect())
    }
}

/// Without the file's bytes.
impl fmt::Debug for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = &self.reader.metadata().database_type;
        f.debug_struct("Geo").field("kind", kind).finish()
    }
}

/// Name and value of a member of `GEO`.
pub(crate) type Field = (&'static str, String);

/// A leaf of a record.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Whole(u64),
    Signed(i64),
    Real(f64),
}

impl Scalar {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) if text.is_empty() || text.len() > TEXT => None,
            Self::Text(text) => Some(text),
            Self::Whole(number) => Some(number.to_string()),
            Self::Signed(number) => Some(number.to_string()),
            // Six digits, as libmodsecurity prints coordinates.
            Self::Real(number) => Some(format!("{number:.6}")),
        }
    }
}

/// The leaf at `path`; nothing where the path leads elsewhere.
fn scalar(found: &LookupResult<'_, Vec<u8>>, path: &[PathElement<'_>]) -> Option<Scalar> {
    found.decode_path(path).ok().flatten()
}

use PathElement::{Index, Key};

/// The members of `GEO` and where databases keep them, the common form first.
const FIELDS: &[(&str, &[&[PathElement<'static>]])] = &[
    ("AREA_CODE", &[&[Key("area_code")]]),
    (
        "CITY",
        &[&[Key("city"), Key("names"), Key("en")], &[Key("city")]],
    ),
    (
        "COUNTRY_CODE",
        &[
            &[Key("country"), Key("iso_code")],
            &[Key("country_code")],
            &[Key("country")],
        ],
    ),
    ("COUNTRY_CODE3", &[&[Key("country_code3")]]),
    (
        "COUNTRY_CONTINENT",
        &[
            &[Key("continent"), Key("names"), Key("en")],
            &[Key("continent"), Key("code")],
            &[Key("continent_code")],
            &[Key("continent")],
        ],
    ),
    (
        "COUNTRY_NAME",
        &[
            &[Key("country"), Key("names"), Key("en")],
            &[Key("country_name")],
        ],
    ),
    (
        "DMA_CODE",
        &[&[Key("location"), Key("metro_code")], &[Key("metro_code")]],
    ),
    (
        "LATITUDE",
        &[
            &[Key("location"), Key("latitude")],
            &[Key("latitude")],
            &[Key("lat")],
        ],
    ),
    (
        "LONGITUDE",
        &[
            &[Key("location"), Key("longitude")],
            &[Key("longitude")],
            &[Key("lng")],
        ],
    ),
    (
        "POSTAL_CODE",
        &[
            &[Key("postal"), Key("code")],
            &[Key("postal_code")],
            &[Key("postal")],
        ],
    ),
    (
        "REGION",
        &[
            &[Key("subdivisions"), Index(0), Key("iso_code")],
            &[Key("region_code")],
            &[Key("region")],
        ],
    ),
];

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests {
    use super::sample::{Node, database};
    use super::*;

    fn fields(node: &Node, address: &str) -> Option<Vec<Field>> {
        let bytes = database(&[("192.0.2.0/24", node), ("2001:db8::/32", node)]);
        let geo = Geo::open(bytes).unwrap();
        geo.look_up(address.parse().unwrap())
    }

    fn told(found: &[Field]) -> Vec<(&str, &str)> {
        found.iter().map(|(name, text)| (*name, &**text)).collect()
    }

    #[test]
    fn the_nested_form_is_read_for_both_families() {
        let names =
            |name: &'static str| Node::map(&[("names", Node::map(&[("en", Node::Text(name))]))]);
        let node = Node::map(&[
            ("city", names("Oslo")),
            (
                "country",
                Node::map(&[
                    ("iso_code", Node::Text("NO")),
                    ("names", Node::map(&[("en", Node::Text("Norway"))])),
                ]),
            ),
            ("continent", Node::map(&[("code", Node::Text("EU"))])),
            (
                "location",
                Node::map(&[
                    ("latitude", Node::Real(59.9)),
                    ("metro_code", Node::Whole(7)),
                ]),
            ),
            (
                "subdivisions",
                Node::List(vec![Node::map(&[("iso_code", Node::Text("03"))])]),
            ),
        ]);
        let expected = [
            ("CITY", "Oslo"),
            ("COUNTRY_CODE", "NO"),
            ("COUNTRY_CONTINENT", "EU"),
            ("COUNTRY_NAME", "Norway"),
            ("DMA_CODE", "7"),
            ("LATITUDE", "59.900000"),
            ("REGION", "03"),
        ];
        for address in ["192.0.2.77", "2001:db8::1", "::ffff:192.0.2.1"] {
            let found = fields(&node, address).unwrap();
            assert_eq!(told(&found), expected, "{address}");
        }
        assert_eq!(fields(&node, "192.0.3.1"), None);
    }

    #[test]
    fn the_flat_form_is_read() {
        let node = Node::map(&[
            ("continent", Node::Text("EU")),
            ("country", Node::Text("NO")),
            ("country_name", Node::Text("Norway")),
            ("lat", Node::Text("59.9")),
        ]);
        let found = fields(&node, "192.0.2.1").unwrap();
        let expected = [
            ("COUNTRY_CODE", "NO"),
            ("COUNTRY_CONTINENT", "EU"),
            ("COUNTRY_NAME", "Norway"),
            ("LATITUDE", "59.9"),
        ];
        assert_eq!(told(&found), expected);
    }

    /// The scenarios of the gateway read this file; `UPDATE_DOCS=1` writes it anew.
    #[test]
    fn the_committed_sample_is_what_the_writer_writes() {
        let nested = |code| Node::map(&[("country", Node::map(&[("iso_code", Node::Text(code))]))]);
        let networks = [
            ("192.0.2.0/25", &nested("NO")),
            (
                "192.0.2.128/25",
                &Node::map(&[("country", Node::Text("SE"))]),
            ),
            ("2001:db8::/32", &nested("FI")),
        ];
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/testdata/places.mmdb");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, database(&networks)).unwrap();
        }
        assert_eq!(std::fs::read(path).unwrap(), database(&networks));
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_the_reason() {
        let error = Geo::open(b"GEO-106FREE 20180327 Build 1".to_vec()).unwrap_err();
        assert!(error.contains(".dat"), "{error}");
    }

    #[test]
    fn a_damaged_file_leaves_fields_out_and_never_panics() {
        let node = Node::map(&[("country", Node::map(&[("iso_code", Node::Text("NO"))]))]);
        let whole = database(&[("192.0.2.0/24", &node)]);
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                if let Ok(geo) = Geo::open(bytes) {
                    let _ = geo.look_up("192.0.2.1".parse().unwrap());
                }
            }
        }
    }
}
