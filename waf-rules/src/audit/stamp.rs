//! The times of an entry, in UTC as everything the engine says about time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::variables::date;

/// A moment, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Stamp {
    pub(super) fn new(now: SystemTime) -> Self {
        let epoch = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let days = epoch / 86_400;
        let (year, month, day) = date(days);
        Self {
            year,
            month,
            day,
            // 1970-01-01 was a Thursday; Sunday is 0.
            weekday: (days + 4) % 7,
            hour: epoch / 3_600 % 24,
            minute: epoch / 60 % 60,
            second: epoch % 60,
        }
    }

    /// `21/Nov/2026:12:09:30 +0000`, as web servers log it.
    pub(super) fn common(&self) -> String {
        let (day, year, clock) = (self.day, self.year, self.clock());
        format!("{day:02}/{}/{year}:{clock} +0000", self.month_name())
    }

    /// `Sat Nov 21 12:09:30 2026`, as C's `asctime` writes it.
    pub(super) fn asctime(&self) -> String {
        let (day, year, clock) = (self.day, self.year, self.clock());
        let weekday = name(&WEEKDAYS, self.weekday);
        format!("{weekday} {} {day:>2} {clock} {year}", self.month_name())
    }

    /// `20261121/20261121-1209/20261121-120930`: folders by day and by minute.
    pub(super) fn path(&self) -> String {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        let date = format!("{year:04}{month:02}{day:02}");
        let time = format!("{hour:02}{minute:02}");
        format!("{date}/{date}-{time}/{date}-{time}{second:02}")
    }

    /// `12:09:30`.
    fn clock(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    fn month_name(&self) -> &'static str {
        name(&MONTHS, self.month.saturating_sub(1))
    }
}

fn name(names: &[&'static str], index: u64) -> &'static str {
    let index = usize::try_from(index).unwrap_or(0);
    names.get(index).copied().unwrap_or_default()
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_moment_three_ways() {
        // 2026-11-07 02:09:30 UTC, a Saturday.
        let stamp = Stamp::new(UNIX_EPOCH + Duration::from_secs(1_794_017_370));
        assert_eq!(stamp.common(), "07/Nov/2026:02:09:30 +0000");
        assert_eq!(stamp.asctime(), "Sat Nov  7 02:09:30 2026");
        assert_eq!(stamp.path(), "20261107/20261107-0209/20261107-020930");
    }
}
