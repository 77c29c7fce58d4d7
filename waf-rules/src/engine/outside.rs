//! What a rule set knows of the world outside its rules; present only where a rule asks for it.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::blocklists::Ask;
use crate::geo::Geo;
use crate::store::Store;

/// Handed to the rule set when it is loaded.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// Where persistent collections live.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// `SecGeoLookupDb`.
    pub(crate) geo: Option<Arc<Geo>>,
    /// The links that ask a list by DNS.
    pub(crate) asks: Vec<Ask>,
    /// The environment of the process, as it was at load.
    pub(crate) environment: Arc<[Pair]>,
    /// The time zone of `TIME` and `TIME_…`; UTC without.
    pub(crate) zone: Option<TimeZone>,
    /// Some rule asks for the time or lets a variable of `TX` expire.
    pub(crate) clock: bool,
}

/// Name and value of an environment variable.
pub(crate) type Pair = (Box<[u8]>, Box<[u8]>);
