//! `SecAuditLogRelevantStatus`: the pattern, asked once for every status when the rules load.
//!
//! The value everybody copies, `^(?:5|4(?!04))`, holds a look-ahead, which the linear-time engine has
//! not. A negative look-ahead without parentheses in it is asked by hand: there are 500 statuses and
//! one place.

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
        let (plain, aheads) = without_look_aheads(pattern);
        let (main, aheads) = match Pattern::new(pattern) {
            Ok(main) => (main, Vec::new()),
            Err(reason) if aheads.is_empty() => return Err(reason),
            Err(_) => (Pattern::new(&plain)?, aheads),
        };
        let aheads = aheads
            .into_iter()
            .map(|(group, text)| Ok((group, Pattern::new(&format!("\\A(?:{text})"))?)))
            .collect::<Result<Vec<_>, String>>()?;
        let relevant = |status: u16| {
            let status = status.to_string();
            let status = status.as_bytes();
            let mut allowed = true;
            let found = main.captures_at(status, 0, |group, bytes| {
                let rest = bytes.as_ptr().addr() - status.as_ptr().addr();
                let rest = status.get(rest..).unwrap_or_default();
                allowed &= !aheads
                    .iter()
                    .any(|(number, ahead)| *number == group && ahead.is_match(rest));
            });
            found.is_some() && allowed
        };
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

/// The pattern with each `(?!text)` replaced by an empty group; the groups' numbers and texts.
fn without_look_aheads(pattern: &str) -> (String, Vec<(usize, String)>) {
    let (mut plain, mut found, mut groups) = (String::new(), Vec::new(), 0);
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some((inside, after)) = rest
            .strip_prefix("(?!")
            .and_then(|inside| inside.split_once(')'))
            .filter(|(inside, _)| !inside.contains('('))
        {
            groups += 1;
            found.push((groups, inside.to_owned()));
            plain.push_str("()");
            rest = after;
            continue;
        }
        if first == '(' && !rest.starts_with("(?") {
            groups += 1;
        }
        let length = match first {
            '\\' => rest.chars().take(2).map(char::len_utf8).sum(),
            _ => first.len_utf8(),
        };
        let (taken, after) = rest.split_at(length);
        plain.push_str(taken);
        rest = after;
    }
    (plain, found)
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
        assert!(Statuses::new("4(?!0(4))").is_err());
    }
}
