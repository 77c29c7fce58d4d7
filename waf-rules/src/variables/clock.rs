//! `TIME` and `TIME_…`, in the time zone the rules were loaded with; without one, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Variable;

/// The text of the time variable `variable` at `now`; nothing for any other variable.
pub(crate) fn calendar(now: SystemTime, zone: Option<&TimeZone>, variable: Variable) -> String {
    let timestamp = Timestamp::try_from(now).unwrap_or_default();
    let local = zone.unwrap_or(&TimeZone::UTC).to_datetime(timestamp);
    match variable {
        Variable::Time => format!(
            "{:02}:{:02}:{:02}",
            local.hour(),
            local.minute(),
            local.second()
        ),
        Variable::TimeDay => local.day().to_string(),
        Variable::TimeEpoch => now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
            .to_string(),
        Variable::TimeHour => local.hour().to_string(),
        Variable::TimeMin => local.minute().to_string(),
        // ModSecurity counts months from 0, as C does.
        Variable::TimeMon => (local.month() - 1).to_string(),
        Variable::TimeSec => local.second().to_string(),
        // Sunday is 0.
        Variable::TimeWday => local.weekday().to_sunday_zero_offset().to_string(),
        Variable::TimeYear => local.year().to_string(),
        _ => String::new(),
    }
}

/// Year, month (1 to 12) and day of the month of a day counted from 1970-01-01, after Howard
/// Hinnant's `civil_from_days`: years begin in March, so that the leap day comes last.
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_leap_day_is_told_apart_from_its_neighbours() {
        // 2024-02-29 23:59:59 UTC, a Thursday.
        let now = UNIX_EPOCH + Duration::from_secs(1_709_251_199);
        let text = |variable| calendar(now, None, variable);
        assert_eq!(text(Variable::Time), "23:59:59");
        assert_eq!(text(Variable::TimeDay), "29");
        assert_eq!(text(Variable::TimeMon), "1");
        assert_eq!(text(Variable::TimeYear), "2024");
        assert_eq!(text(Variable::TimeWday), "4");
        let later = calendar(now + Duration::from_secs(1), None, Variable::TimeDay);
        assert_eq!(later, "1");
    }

    #[test]
    fn a_time_zone_moves_the_hour_and_its_summer_time_with_it() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let text = |seconds, variable| {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            calendar(now, Some(&berlin), variable)
        };
        // 2024-01-31 23:30 and 2024-07-01 10:00 UTC.
        assert_eq!(text(1_706_743_800, Variable::TimeDay), "1");
        assert_eq!(text(1_706_743_800, Variable::TimeHour), "0");
        assert_eq!(text(1_719_828_000, Variable::TimeHour), "12");
        assert_eq!(text(1_719_828_000, Variable::TimeEpoch), "1719828000");
    }
}
