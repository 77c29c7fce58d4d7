//! The actions that write variables: `setvar`, `initcol`, `setsid`, `setuid`, `setrsc`, `expirevar`,
//! `setenv`.

use super::action_list::{Complaint, Listed, Outcome, template, text};
use super::names::Names;
use crate::actions::{Action, ChangeText, parse_assignment, parse_setvar};
use crate::engine::{Assignment, Change, Keep, SetVar, VarName};
use crate::syntax::ActionText;
use crate::variables::Variable;

/// Reads one of these actions.
pub(crate) fn assignment(
    names: &mut Names,
    listed: &mut Listed,
    action: Action,
    item: &ActionText,
) -> Outcome {
    let value = text(item.value.as_deref())?;
    let open = |listed: &mut Listed, names: &mut Names, collection, key: &str| {
        let key = template(names, listed, item, key);
        Assignment::Kept(Keep::Open { collection, key })
    };
    let assignment = match action {
        Action::SetSid => open(listed, names, Variable::Session, value),
        Action::SetUid => open(listed, names, Variable::User, value),
        Action::SetRsc => open(listed, names, Variable::Resource, value),
        Action::InitCol => {
            let (name, key) = parse_assignment(value).map_err(plain)?;
            let collection = Variable::persistent(name).ok_or_else(|| unknown(name))?;
            open(listed, names, collection, key)
        }
        Action::ExpireVar => {
            let (target, seconds) = parse_assignment(value).map_err(plain)?;
            let (collection, name) = member(target)?;
            names.needs_clock |= collection == Variable::Tx;
            Assignment::Kept(Keep::Expire {
                collection,
                name: template(names, listed, item, name),
                seconds: template(names, listed, item, seconds),
            })
        }
        Action::SetEnv => {
            let (name, value) = parse_assignment(value).map_err(plain)?;
            Assignment::Kept(Keep::Environment {
                name: template(names, listed, item, name),
                value: template(names, listed, item, value),
            })
        }
        _ => setvar(names, listed, item, value)?,
    };
    names.needs_store |= matches!(assignment, Assignment::Kept(Keep::Open { .. }));
    listed.local.setvars.push(assignment);
    Ok(())
}

fn setvar(
    names: &mut Names,
    listed: &mut Listed,
    item: &ActionText,
    value: &str,
) -> Result<Assignment, Complaint> {
    let parsed = parse_setvar(value).map_err(plain)?;
    let collection = collection(&parsed.collection)?;
    let name = template(names, listed, item, &parsed.name);
    let change = match parsed.change {
        ChangeText::Set(value) => Change::Set(template(names, listed, item, &value)),
        ChangeText::Add(value) => Change::Add(template(names, listed, item, &value)),
        ChangeText::Subtract(value) => Change::Subtract(template(names, listed, item, &value)),
        ChangeText::Remove => Change::Remove,
    };
    if collection != Variable::Tx {
        return Ok(Assignment::Kept(Keep::Change {
            collection,
            name,
            change,
        }));
    }
    let name = match name.literal() {
        Some(literal) => VarName::Known {
            slot: names.tx.slot(literal),
            name: literal.into(),
        },
        None => VarName::Built(name),
    };
    Ok(Assignment::Tx(SetVar { name, change }))
}

/// Splits `tx.name`.
fn member(target: &str) -> Result<(Variable, &str), Complaint> {
    match target.split_once('.') {
        Some((name, member)) if !member.is_empty() => Ok((collection(name.trim())?, member)),
        _ => Err(plain(
            "expected collection.name, as in ip.counter".to_owned(),
        )),
    }
}

/// A collection that rules may write into.
fn collection(name: &str) -> Result<Variable, Complaint> {
    if name.eq_ignore_ascii_case("tx") {
        return Ok(Variable::Tx);
    }
    Variable::persistent(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Complaint {
    let message = format!("rules cannot write into `{name}`");
    let help = "expected tx, global, ip, resource, session or user".to_owned();
    (message, Some(help))
}

fn plain(message: String) -> Complaint {
    (message, None)
}
