//! Holds docs/seclang.md to the tables of the code.
//!
//! `UPDATE_DOCS=1 cargo test -p waf-rules reference` writes the tables anew.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::actions::{Action, Support, control_rows};
use crate::compile::Directive;
use crate::operators::Operator;
use crate::transformations::Transformation;
use crate::variables::{Origin, Variable};

/// Stands between what people wrote and what this file writes.
const MARK: &str = "<!-- From here on, waf-rules/src/reference.rs checks every line. -->\n";

#[test]
fn the_tables_in_the_documents_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/seclang.md");
    let text = fs::read_to_string(&path).unwrap();
    let (written, tables) = text.split_once(MARK).expect("the mark stands in the file");
    let expected = render();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{written}{MARK}{expected}")).unwrap();
        return;
    }
    let pairs = tables.lines().zip(expected.lines());
    for (found, wanted) in pairs {
        assert_eq!(found, wanted, "set UPDATE_DOCS=1 and run this test");
    }
    assert_eq!(
        tables.len(),
        expected.len(),
        "docs/seclang.md ends elsewhere"
    );
}

fn render() -> String {
    let mut out = String::new();
    section(&mut out, "Directives", Directive::rows().map(supported));
    let variables = Variable::names().filter_map(|name| {
        let variable = Variable::from_name(name)?;
        let (word, note) = match variable.origin() {
            Origin::Refused(reason) => ("refused", reason),
            _ => ("executed", ""),
        };
        Some((name, word, note))
    });
    section(&mut out, "Variables", variables);
    let executed = Operator::names().map(|name| (name, "executed", ""));
    let refused = Operator::refused().iter();
    let refused = refused.map(|(name, reason)| (*name, "refused", *reason));
    section(&mut out, "Operators", sorted(executed.chain(refused)));
    let transformations = Transformation::names().chain(["none"]);
    let transformations = transformations.map(|name| (name, "executed", ""));
    section(&mut out, "Transformations", sorted(transformations));
    section(&mut out, "Actions", Action::rows().map(supported));
    section(&mut out, "Controls (`ctl:`)", control_rows().map(supported));
    out
}

/// Name, what becomes of it, why.
type Row = (&'static str, &'static str, &'static str);

fn supported((name, support): (&'static str, Support)) -> Row {
    match support {
        Support::Runs => (name, "executed", ""),
        Support::Ignored(note) => (name, "ignored with a warning", note),
        Support::OffOnly(reason) => (name, "refused unless `Off`", reason),
        Support::Refused(reason) => (name, "refused", reason),
    }
}

fn sorted(rows: impl Iterator<Item = Row>) -> impl Iterator<Item = Row> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(name, ..)| name.to_ascii_lowercase());
    rows.into_iter()
}

fn section(out: &mut String, title: &str, rows: impl Iterator<Item = Row>) {
    write!(out, "\n## {title}\n\n| name | what becomes of it | why |\n").unwrap();
    out.push_str("| --- | --- | --- |\n");
    for (name, word, note) in rows {
        writeln!(out, "| `{name}` | {word} | {note} |").unwrap();
    }
}
