//! Entry points of the fuzz targets: each checks one promise of this crate and panics where it is
//! broken. They are ordinary functions so that tests run them too; nothing else calls them.

mod exchange;

pub use exchange::{Verdict, cookies, json, multipart, seclang, transaction, uri, urlencoded, xml};
