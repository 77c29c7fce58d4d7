//! `${NAME}` and `${NAME:-default}` in scalars.
//!
//! Runs on the parsed tree, so a variable's value can never become YAML and positions stay those of
//! the file. `$$` stands for one `$`; a `$` before anything else stands for itself, as regular
//! expressions need it. A variable without a value and without a default is an error. Values are
//! never repeated in a message; what came from the environment is marked for the same reason.

use crate::env::Env;
use crate::source::Problem;
use crate::tree::{Node, Scalar, Value};

/// A longer value is refused.
const MAX_VALUE: usize = 64 * 1024;

/// Expands every scalar below `node`; the depth was bounded when it was parsed.
pub(crate) fn expand(node: &mut Node, env: &dyn Env, problems: &mut Vec<Problem>) {
    match &mut node.value {
        Value::Scalar(scalar) => {
            if let Err(problem) = scalar.expand(env) {
                let (message, help) = problem;
                problems.push(Problem::new(node.place, message).help(help));
                // Stays as written, and is treated as unknown from here on.
                scalar.expanded = true;
            }
        }
        Value::List(items) => items
            .iter_mut()
            .for_each(|item| expand(item, env, problems)),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, value)| expand(value, env, problems)),
    }
}

impl Scalar {
    fn expand(&mut self, env: &dyn Env) -> Result<(), (String, &'static str)> {
        if !self.text.contains('$') {
            return Ok(());
        }
        let mut out = String::with_capacity(self.text.len());
        let (mut expanded, mut leads) = (false, false);
        let mut rest = self.text.as_str();
        while let Some(at) = rest.find('$') {
            let (before, tail) = rest.split_at(at);
            out.push_str(before);
            if let Some(tail) = tail.strip_prefix("$$") {
                out.push('$');
                rest = tail;
            } else if let Some(tail) = tail.strip_prefix("${") {
                let (name, default, tail) = reference(tail)?;
                let value = value(env, name, default)?;
                expanded |= value.is_some();
                leads |= value.is_some() && out.is_empty();
                out.push_str(value.as_deref().or(default).unwrap_or_default());
                rest = tail;
            } else {
                out.push('$');
                rest = tail.get(1..).unwrap_or_default();
            }
        }
        out.push_str(rest);
        self.text = out;
        self.expanded = expanded;
        self.leads_with_variable = leads;
        Ok(())
    }
}

/// Splits what follows `${` into name, default and the rest after `}`.
fn reference(text: &str) -> Result<(&str, Option<&str>, &str), (String, &'static str)> {
    let end = text.bytes().take_while(|b| is_name_byte(*b)).count();
    let (name, tail) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        let help = "`${NAME}` takes a name; write `$${` for a literal `${`";
        return Err(("`${` without a variable's name".into(), help));
    }
    if let Some(tail) = tail.strip_prefix('}') {
        return Ok((name, None, tail));
    }
    let unfinished = || {
        let help = "write `${NAME}` or `${NAME:-default}`";
        (format!("`${{{name}` is not complete"), help)
    };
    let tail = tail.strip_prefix(":-").ok_or_else(unfinished)?;
    let (default, tail) = tail.split_once('}').ok_or_else(unfinished)?;
    if default.contains("${") {
        let help = "a default is plain text; nest nothing in it";
        return Err((format!("the default of `{name}` holds another `${{`"), help));
    }
    Ok((name, Some(default), tail))
}

/// The variable's value; `None` when the default stands for it. As in a shell, `:-` also replaces
/// an empty value.
fn value(
    env: &dyn Env,
    name: &str,
    default: Option<&str>,
) -> Result<Option<String>, (String, &'static str)> {
    match env.var(name) {
        Some(value) if value.len() > MAX_VALUE => {
            let help = "the limit is 64 KiB";
            Err((format!("the value of `{name}` is too long"), help))
        }
        Some(value) if value.is_empty() && default.is_some() => Ok(None),
        Some(value) => Ok(Some(value)),
        None if default.is_some() => Ok(None),
        None => {
            let help = "set it, or write `${NAME:-default}`";
            let message = format!("environment variable `{name}` is not set");
            Err((message, help))
        }
    }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Typed;

    fn scalar(text: &str, plain: bool) -> Result<Scalar, String> {
        let mut scalar = Scalar {
            text: text.to_owned(),
            plain,
            block: false,
            expanded: false,
            leads_with_variable: false,
        };
        let env = |name: &str| match name {
            "PORT" => Some("8080".to_owned()),
            "EVIL" => Some("x: [1]\n- y".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        scalar.expand(&env).map_err(|(message, _)| message)?;
        Ok(scalar)
    }

    #[test]
    fn values_defaults_and_dollars() {
        for (text, expected) in [
            ("127.0.0.1:${PORT}", "127.0.0.1:8080"),
            ("${NONE:-127.0.0.1:80}", "127.0.0.1:80"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${NONE:-}", ""),
            ("^/a$", "^/a$"),
            ("a$b $", "a$b $"),
            ("$${jndi:ldap}", "${jndi:ldap}"),
            ("cost $$5", "cost $5"),
        ] {
            assert_eq!(scalar(text, true).unwrap().text, expected, "{text}");
        }
    }

    #[test]
    fn mistakes_name_the_variable() {
        for (text, part) in [
            ("${NONE}", "`NONE` is not set"),
            ("${PORT", "not complete"),
            ("${PORT:-x", "not complete"),
            ("${}", "without a variable's name"),
            ("${jndi:ldap://x}", "not complete"),
            ("${A:-${B}}", "holds another"),
        ] {
            let message = scalar(text, true).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_plain_value_is_typed_anew_and_a_quoted_one_is_not() {
        assert_eq!(
            scalar("${PORT}", true).unwrap().typed(),
            Typed::Unsigned(8080)
        );
        assert_eq!(
            scalar("${PORT}", false).unwrap().typed(),
            Typed::Text("8080")
        );
    }

    #[test]
    fn a_value_cannot_become_yaml() {
        let evil = scalar("${EVIL}", true).unwrap();
        assert_eq!(evil.typed(), Typed::Text("x: [1]\n- y"));
        assert!(evil.expanded);
    }

    #[test]
    fn what_came_from_the_file_is_not_marked() {
        assert!(!scalar("${NONE:-x}", true).unwrap().expanded);
        assert!(scalar("${PORT}/x", true).unwrap().leads_with_variable);
        assert!(!scalar("x/${PORT}", true).unwrap().leads_with_variable);
    }
}
