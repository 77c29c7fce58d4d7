//! `TIME` and `TIME_…`, in UTC: the engine is told the time and knows no time zones.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Variable;

/// The text of the time variable `variable` at `now`; nothing for any other variable.
pub(crate) fn calendar(now: SystemTime, variable: Variable) -> String {
    let epoch = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let (year, month, day) = date(days);
    match variable {
        Variable::Time => format!("{hour:02}:{minute:02}:{second:02}"),
        Variable::TimeDay => day.to_string(),
        Variable::TimeEpoch => epoch.to_string(),
        Variable::TimeHour => hour.to_string(),
        Variable::TimeMin => minute.to_string(),
        // ModSecurity counts months from 0, as C does.
        Variable::TimeMon => (month - 1).to_string(),
        Variable::TimeSec => second.to_string(),
        // 1970-01-01 was a Thursday; Sunday is 0.
        Variable::TimeWday => ((days + 4) % 7).to_string(),
        Variable::TimeYear => year.to_string(),
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
        let text = |variable| calendar(now, variable);
        assert_eq!(text(Variable::Time), "23:59:59");
        assert_eq!(text(Variable::TimeDay), "29");
        assert_eq!(text(Variable::TimeMon), "1");
        assert_eq!(text(Variable::TimeYear), "2024");
        assert_eq!(text(Variable::TimeWday), "4");
        let later = calendar(now + Duration::from_secs(1), Variable::TimeDay);
        assert_eq!(later, "1");
    }
}
