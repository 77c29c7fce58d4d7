//! `@restpath /users/{id}`: the value holds such a path; what stands in the braces goes to `ARGS_PATH`.
//!
//! A name in braces stands for one or more bytes other than `/` and `?`. The path may begin and end
//! anywhere in the value, as in Coraza; unlike there, its other characters stand for themselves.

use crate::regex::Pattern;

#[derive(Debug)]
pub(crate) struct RestPath {
    pattern: Pattern,
    names: Vec<Box<str>>,
}

impl RestPath {
    pub(super) fn compile(argument: &str) -> Result<Self, String> {
        let mut pattern = String::new();
        let mut names: Vec<Box<str>> = Vec::new();
        let mut rest = argument.trim();
        if rest.is_empty() {
            return Err("expected a path, such as /users/{id}".to_owned());
        }
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else {
                return Err("a brace is never closed".to_owned());
            };
            if name.is_empty() || names.iter().any(|known| **known == *name) {
                return Err(format!("`{{{name}}}` is empty or stands there twice"));
            }
            pattern.push_str(&regex_syntax::escape(before));
            pattern.push_str("([^?/]+)");
            names.push(name.into());
            rest = behind;
        }
        pattern.push_str(&regex_syntax::escape(rest));
        let pattern = Pattern::new(&pattern)?;
        Ok(Self { pattern, names })
    }

    /// The named parts of the path in `value`; `None` if it holds no such path.
    pub(crate) fn find(&self, value: &[u8]) -> Option<Vec<(Box<str>, Vec<u8>)>> {
        let mut members = Vec::new();
        self.pattern.captures_at(value, 0, |group, bytes| {
            let name = group.checked_sub(1).and_then(|group| self.names.get(group));
            members.extend(name.map(|name| (name.clone(), bytes.to_vec())));
        })?;
        Some(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_one_segment_each() {
        let path = RestPath::compile("/users/{id}/files/{name}.txt").unwrap();
        let found = path.find(b"/api/users/7/files/a-b.txt?x=1").unwrap();
        let expected: Vec<(Box<str>, _)> = vec![
            ("id".into(), b"7".to_vec()),
            ("name".into(), b"a-b".to_vec()),
        ];
        assert_eq!(found, expected);
        assert!(path.find(b"/users/7/8/files/a.txt").is_none());
        assert!(path.find(b"/users/7/files/aXtxt").is_none());
    }

    #[test]
    fn mistakes_are_told() {
        for argument in ["", "/a/{id", "/a/{}", "/{a}/{a}"] {
            assert!(RestPath::compile(argument).is_err(), "{argument}");
        }
    }
}
