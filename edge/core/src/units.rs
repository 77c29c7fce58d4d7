//! Durations and sizes as people write them in configuration: `10s`, `64KiB`.
//!
//! A number without a unit is refused, because `30` means seconds to one reader and milliseconds to
//! the next; only `0` needs none. Decimal (`kB`, SI) and binary (`KiB`, IEC 80000-13) prefixes are
//! both known and never mixed up. Values that do not fit are errors, never wrapped or rounded.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time such as `250ms`, `10s`, `5m`, `1h` or `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(pub Duration);

/// A number of bytes such as `512B`, `64KiB`, `10MB` or `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// Why a text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// Not a duration at all.
    #[error("expected a duration such as `250ms`, `10s`, `5m` or `1h30m`")]
    Duration,
    /// Not a size at all.
    #[error("expected a size such as `512B`, `64KiB`, `10MB` or `1GiB`")]
    Size,
    /// More than can be represented.
    #[error("the value is too large")]
    TooLarge,
}

/// Longest units first, so that `ms` is not taken for `m`.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == "0" {
            return Ok(Self::default());
        }
        let mut rest = text;
        let mut millis = 0_u64;
        let mut bound = u64::MAX; // units must get smaller: `1m30s`, not `30s1m`
        while !rest.is_empty() {
            let (number, tail) = number(rest, UnitError::Duration)?;
            let end = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(end);
            let factor = factor(DURATION_UNITS, unit).filter(|factor| *factor < bound);
            bound = factor.ok_or(UnitError::Duration)?;
            let part = number.checked_mul(bound).ok_or(UnitError::TooLarge)?;
            millis = millis.checked_add(part).ok_or(UnitError::TooLarge)?;
            rest = tail;
        }
        if bound == u64::MAX {
            return Err(UnitError::Duration);
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == "0" {
            return Ok(Self(0));
        }
        let (number, unit) = number(text, UnitError::Size)?;
        let factor = factor(SIZE_UNITS, unit).ok_or(UnitError::Size)?;
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or(UnitError::TooLarge)
    }
}

impl fmt::Display for HumanDuration {
    /// The shortest text that reads back as the same value, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0");
        }
        for (unit, factor) in DURATION_UNITS.iter().rev() {
            let count = rest / u128::from(*factor);
            if count > 0 {
                write!(f, "{count}{unit}")?;
                rest -= count * u128::from(*factor);
            }
        }
        Ok(())
    }
}

impl fmt::Display for ByteSize {
    /// In the largest binary unit that divides the value evenly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

fn number(text: &str, missing: UnitError) -> Result<(u64, &str), UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(missing);
    }
    number
        .parse()
        .map(|number| (number, rest))
        .map_err(|_| UnitError::TooLarge)
}

fn factor(units: &[(&str, u64)], name: &str) -> Option<u64> {
    units
        .iter()
        .find(|(unit, _)| *unit == name)
        .map(|(_, factor)| *factor)
}

macro_rules! text_in_serde {
    ($type:ident, $name:literal, $pattern:literal, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($description)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": ["string", "integer"], // `0` needs no unit and may be a number
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}

text_in_serde!(
    HumanDuration,
    "Duration",
    "^(?:0|(?:[0-9]+(?:ms|s|m|h|d))+)$",
    "a duration such as `250ms`, `10s`, `5m` or `1h30m`"
);
text_in_serde!(
    ByteSize,
    "ByteSize",
    "^(?:0|[0-9]+(?:[kKMG]?B|[KMG]iB))$",
    "a size such as `512B`, `64KiB`, `10MB` or `1GiB`"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("0", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("2d", 172_800_000),
        ] {
            assert_eq!(
                text.parse(),
                Ok(HumanDuration(Duration::from_millis(millis))),
                "{text}"
            );
            assert_eq!(
                HumanDuration(Duration::from_millis(millis)).to_string(),
                text
            );
        }
    }

    #[test]
    fn sizes_tell_decimal_from_binary() {
        for (text, bytes) in [
            ("0", 0),
            ("512B", 512),
            ("64KiB", 65_536),
            ("10MB", 10_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        assert_eq!(ByteSize(65_536).to_string(), "64KiB");
        assert_eq!(ByteSize(10_000_001).to_string(), "10000001B");
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        for text in [
            "", "10", "s", "10 s", "-1s", "1.5s", "30s1m", "1s1s", "10S", "٣s",
        ] {
            assert_eq!(
                text.parse::<HumanDuration>(),
                Err(UnitError::Duration),
                "{text}"
            );
        }
        for text in ["", "10", "KiB", "10 KiB", "-1B", "64kib", "1.5MB", "1KiB2B"] {
            assert_eq!(text.parse::<ByteSize>(), Err(UnitError::Size), "{text}");
        }
        assert_eq!(
            "18446744073709551615GiB".parse::<ByteSize>(),
            Err(UnitError::TooLarge)
        );
        assert_eq!(
            "99999999999999999999s".parse::<HumanDuration>(),
            Err(UnitError::TooLarge)
        );
    }
}
