//! `setvar:tx.name=value`, `=+n`, `=-n`, `tx.name` (sets 1), `!tx.name` (removes).

/// A `setvar` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetVarText {
    pub(crate) collection: String,
    /// May hold macros.
    pub(crate) name: String,
    pub(crate) change: ChangeText,
}

/// What it does; values may hold macros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangeText {
    Set(String),
    Add(String),
    Subtract(String),
    Remove,
}

/// Splits the value of a `setvar` action.
pub(crate) fn parse_setvar(text: &str) -> Result<SetVarText, String> {
    let text = text.trim();
    let (text, removed) = match text.strip_prefix('!') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    // A macro in the name may hold an equals sign only inside its braces.
    let (target, value) = split_outside_macros(text, '=');
    let Some((collection, name)) = target.split_once('.').filter(|(_, name)| !name.is_empty())
    else {
        return Err("expected collection.name, as in tx.score".to_owned());
    };
    let change = match (removed, value) {
        (true, _) => ChangeText::Remove,
        (_, None) => ChangeText::Set("1".to_owned()),
        (_, Some(value)) => match (value.strip_prefix('+'), value.strip_prefix('-')) {
            (Some(by), _) => ChangeText::Add(by.to_owned()),
            (_, Some(by)) => ChangeText::Subtract(by.to_owned()),
            _ => ChangeText::Set(value.to_owned()),
        },
    };
    Ok(SetVarText {
        collection: collection.trim().to_owned(),
        name: name.trim().to_owned(),
        change,
    })
}

/// Splits `name=value` of `initcol`, `expirevar` and `setenv`.
pub(crate) fn parse_assignment(text: &str) -> Result<(&str, &str), String> {
    match split_outside_macros(text.trim(), '=') {
        (name, Some(value)) if !name.trim().is_empty() => Ok((name.trim(), value.trim())),
        _ => Err("expected name=value".to_owned()),
    }
}

fn split_outside_macros(text: &str, separator: char) -> (&str, Option<&str>) {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if character == separator && depth == 0 => {
                let (before, after) = text.split_at(at);
                return (before, after.strip_prefix(separator));
            }
            _ => {}
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let parse = |text| parse_setvar(text).map(|set| (set.name, set.change));
        let name = |name: &str| name.to_owned();
        assert_eq!(
            parse("tx.a=b=c"),
            Ok((name("a"), ChangeText::Set(name("b=c"))))
        );
        assert_eq!(
            parse("tx.a=+%{tx.b}"),
            Ok((name("a"), ChangeText::Add(name("%{tx.b}"))))
        );
        assert_eq!(
            parse("TX.a=-1"),
            Ok((name("a"), ChangeText::Subtract(name("1"))))
        );
        assert_eq!(parse("tx.a"), Ok((name("a"), ChangeText::Set(name("1")))));
        assert_eq!(parse("!tx.a"), Ok((name("a"), ChangeText::Remove)));
        assert_eq!(
            parse("tx.n_%{MATCHED_VAR_NAME}=1"),
            Ok((name("n_%{MATCHED_VAR_NAME}"), ChangeText::Set(name("1"))))
        );
        assert!(parse("score=1").is_err());
    }
}
