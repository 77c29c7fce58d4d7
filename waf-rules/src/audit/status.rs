//! `SecAuditLogRelevantStatus`: the pattern, asked once for every status when the rules load.

use crate::regex::Pattern;

/// The statuses that are relevant.
#[derive(Debug, Clone)]
pub(crate) struct Statuses(Vec<bool>);

const FIRST: u16 = 100;
const LAST: u16 = 599;

impl Statuses {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let pattern = Pattern::new(pattern)?;
        let relevant = |status: u16| pattern.is_match(status.to_string().as_bytes());
        Ok(Self((FIRST..=LAST).map(relevant).collect()))
    }

    /// True if `status` is relevant.
    pub(crate) fn contain(&self, status: u16) -> bool {
        let index = status.checked_sub(FIRST).map(usize::from);
        index
            .and_then(|index| self.0.get(index))
            .is_some_and(|relevant| *relevant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_pattern_means_errors_but_not_found() {
        let statuses = Statuses::new("^(?:5|4(?!04))").unwrap();
        let relevant: Vec<u16> = [200, 302, 400, 403, 404, 405, 440, 500, 599, 99, 600]
            .into_iter()
            .filter(|status| statuses.contain(*status))
            .collect();
        assert_eq!(relevant, [400, 403, 405, 440, 500, 599]);
    }

    #[test]
    fn plain_patterns_and_mistakes() {
        let statuses = Statuses::new("^(40[34]|5)").unwrap();
        assert!(statuses.contain(403) && statuses.contain(404) && statuses.contain(502));
        assert!(!statuses.contain(400) && !statuses.contain(200));
        assert!(Statuses::new("(4").is_err());
    }
}
