//! Decision records as the gateway writes them: one JSON line an exchange.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

/// One decision record.
#[derive(Debug, Clone)]
pub struct Record(pub Value);

impl Record {
    /// Reads a file of records; a last line still being written is left out.
    #[must_use]
    pub fn read(path: &Path) -> Vec<Self> {
        let Ok(file) = File::open(path) else {
            return Vec::new();
        };
        BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str(&line).ok())
            .map(Self)
            .collect()
    }

    /// A field by its JSON pointer, such as `/request/method`.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The status sent to the client.
    #[must_use]
    pub fn status(&self) -> u64 {
        self.0["response_status"].as_u64().unwrap_or_default()
    }

    /// A request header as the record repeats it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.0["request"]["headers"]
            .as_object()?
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        match value {
            Value::Array(values) => values.first()?.as_str().map(str::to_owned),
            value => value.as_str().map(str::to_owned),
        }
    }

    /// The messages, one a rule that spoke.
    #[must_use]
    pub fn messages(&self) -> &[Value] {
        self.0["messages"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Identifiers of the rules that spoke.
    #[must_use]
    pub fn rule_ids(&self) -> Vec<u64> {
        self.messages()
            .iter()
            .filter_map(|message| number(&message["rule_id"]))
            .collect()
    }
}

/// A number, also if it is written as text.
fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}
