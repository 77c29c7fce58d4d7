//! Adds what stands inside arguments, where the rules ask for it: `SecNestedArguments` for every
//! request, `ctl:nestedArguments` for some. It costs nothing where they do not.

use std::ops::ControlFlow;

use super::Variable;
use super::body::{fail, json_limits};
use super::request::{combined_size, fill_names};
use crate::body::{json, nested};
use crate::engine::{Settings, State};

/// Decodings of decodings.
const DEPTH: usize = 3;

/// Bytes that all decodings of a request may take together.
const BYTES: usize = 4 << 20;

/// Decodes the values of all arguments once more, before phase 2.
pub(crate) fn fill_nested(state: &mut State, settings: &Settings) {
    if state.nested.is_empty() {
        return;
    }
    let present = state.values.of(Variable::Args).count();
    let mut limits = nested::Limits {
        depth: DEPTH,
        arguments: settings.arguments.saturating_sub(present),
        bytes: BYTES,
        // The room above is what stops the decoding; this one only has to be larger.
        json: json::Limits {
            arguments: settings.arguments,
            ..json_limits(state, settings)
        },
    };
    for (variable, names) in [
        (Variable::ArgsGet, Variable::ArgsGetNames),
        (Variable::ArgsPost, Variable::ArgsPostNames),
        (Variable::ArgsJson, Variable::ArgsJsonNames),
    ] {
        let members: Vec<_> = state
            .values
            .of(variable)
            .map(|(_, member)| (member.name, member.value))
            .collect();
        for (name, value) in members {
            let name = state.arena.get(name).to_vec();
            let value = state.arena.get(value).to_vec();
            let outcome = nested::decode(
                &name,
                &value,
                state.nested,
                &mut limits,
                settings.json_naming,
                &mut |name, value| {
                    state.add(variable, name, value);
                    ControlFlow::Continue(())
                },
            );
            if outcome.is_err() {
                fail(state, "More nested arguments than are decoded.");
                return;
            }
        }
        fill_names(state, variable, names);
    }
    combined_size(state);
}
