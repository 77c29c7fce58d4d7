//! Wall-clock times as text: RFC 3339 in UTC with microseconds, and the form of the Common Log Format.
//!
//! The calendar is the proleptic Gregorian one; times before 1970 are shown as the epoch.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment, split into its calendar parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp {
    year: u64,
    month: u64,
    day: u64,
    second: u64,
    micros: u32,
}

impl Timestamp {
    /// The calendar parts of `time` in UTC.
    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            second,
            micros: since.subsec_micros(),
        }
    }

    /// `21/Nov/2026:01:52:02 +0000`
    pub(crate) fn common_log(self) -> CommonLog {
        CommonLog(self)
    }

    fn clock(self) -> (u64, u64, u64) {
        (self.second / 3600, self.second / 60 % 60, self.second % 60)
    }
}

impl fmt::Display for Timestamp {
    /// `2026-11-21T01:52:02.000001Z`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            micros,
            ..
        } = *self;
        let (h, m, s) = self.clock();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{micros:06}Z"
        )
    }
}

/// Shows a [`Timestamp`] the way the Common Log Format does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommonLog(Timestamp);

impl fmt::Display for CommonLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Timestamp {
            year, month, day, ..
        } = self.0;
        let (h, m, s) = self.0.clock();
        let month = usize::try_from(month - 1)
            .ok()
            .and_then(|index| MONTHS.get(index))
            .unwrap_or(&"Jan");
        write!(f, "{day:02}/{month}/{year:04}:{h:02}:{m:02}:{s:02} +0000")
    }
}

/// Year, month and day of a count of days since 1970-01-01. Years are counted from March, so that
/// the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_EPOCH;
    let (era, of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: u64 = 719_468;
/// Days in 400 years.
const DAYS_PER_ERA: u64 = 146_097;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_moments_are_shown_right() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00.000007Z"),
            (951_782_399, "2000-02-28T23:59:59.000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000007Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000007Z"),
        ] {
            let time = UNIX_EPOCH + Duration::new(seconds, 7_000);
            assert_eq!(Timestamp::of(time).to_string(), shown);
        }
    }

    #[test]
    fn the_common_log_form_names_the_month() {
        let time = UNIX_EPOCH + Duration::from_secs(951_782_399);
        let shown = Timestamp::of(time).common_log().to_string();
        assert_eq!(shown, "28/Feb/2000:23:59:59 +0000");
    }

    #[test]
    fn a_clock_before_1970_is_the_epoch_rather_than_a_panic() {
        let time = UNIX_EPOCH - Duration::from_secs(1);
        assert!(Timestamp::of(time).to_string().starts_with("1970-01-01"));
    }
}
