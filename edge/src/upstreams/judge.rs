//! Success rates: who answers well much less often than the others is left out for a while (after
//! Envoy's success rate detection).

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::group::Group;

/// Looks at the answers since the last time and begins to count anew.
pub(super) fn success_rates(group: &Group, now: Instant) {
    let Some(settings) = group.upstream().ejection() else {
        return;
    };
    let members = group.members();
    let mut rated = Vec::new();
    for member in &members.list {
        let [all, good] = &member.endpoint.answers;
        let (all, good) = (
            all.swap(0, Ordering::Relaxed),
            good.swap(0, Ordering::Relaxed),
        );
        if all >= MIN_REQUESTS {
            rated.push((f64::from(good) / f64::from(all), &member.endpoint));
        }
    }
    if rated.len() < MIN_SERVERS {
        return;
    }
    let rates: Vec<f64> = rated.iter().map(|(rate, _)| *rate).collect();
    let limit = limit(&rates, settings.success_rate);
    let now = group.millis(now);
    for (rate, endpoint) in rated {
        if rate >= limit {
            continue;
        }
        if let Some(time) = group.eject(endpoint, now) {
            let (group, address) = (group.name(), &endpoint.address);
            tracing::warn!(%group, %address, ?time, rate, limit, "server left out: it fails more often than the others");
        }
    }
}

/// The mean less `thousandths` of the standard deviation.
fn limit(rates: &[f64], thousandths: u32) -> f64 {
    let count = u32::try_from(rates.len())
        .map_or(f64::MAX, f64::from)
        .max(1.0);
    let mean = rates.iter().sum::<f64>() / count;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
    mean - variance.sqrt() * f64::from(thousandths) / 1000.0
}

/// Requests a server must have had.
const MIN_REQUESTS: u32 = 100;
/// Servers that must have had them.
const MIN_SERVERS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odd_one_out_is_below_the_limit_and_equals_are_not() {
        let limit_of = |rates: &[f64]| limit(rates, 1900);
        let odd = [0.99, 0.99, 0.98, 0.99, 0.99, 0.5];
        assert!((0.5..0.9).contains(&limit_of(&odd)), "{}", limit_of(&odd));
        assert!(limit_of(&[0.9; 5]) <= 0.9 + 1e-9);
        let all_bad = [0.5, 0.51, 0.5, 0.49, 0.5];
        assert!(all_bad.iter().all(|rate| *rate > limit_of(&all_bad)));
    }
}
