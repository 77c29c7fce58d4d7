//! The story of a request as text or JSON.

use std::io::{self, Write};

use serde_json::json;
use waf_rules::Match;

use super::Story;

/// Prints for people; colours where `colour` says so.
pub(super) fn text(out: &mut impl Write, story: &Story, colour: bool) -> io::Result<()> {
    let paint = Paint(colour);
    for (layer, verdict) in &story.layers {
        let code = if verdict.starts_with("refused") || verdict.starts_with("dropped") {
            RED
        } else if verdict.starts_with("would") {
            YELLOW
        } else {
            GREEN
        };
        writeln!(out, "{:<8} {}", layer.name(), paint.with(code, verdict))?;
    }
    if let Some(score) = story.exchange.score {
        writeln!(out, "{:<8} {score}", "score")?;
    }
    for note in &story.notes {
        writeln!(out, "{:<8} {}", "note", paint.with(YELLOW, note))?;
    }
    for matched in &story.matches {
        rule(out, matched, paint)?;
    }
    for fault in &story.exchange.faults {
        writeln!(out, "{}", paint.with(RED, &format!("fault: {fault}")))?;
    }
    let verdict = if story.admitted {
        paint.with(GREEN, "would reach the upstream")
    } else {
        paint.with(RED, "would not reach the upstream")
    };
    writeln!(out, "{:<8} {verdict}", "result")
}

fn rule(out: &mut impl Write, matched: &Match, paint: Paint) -> io::Result<()> {
    let title = format!("rule {}", matched.rule_id);
    writeln!(out, "\n{} {}", paint.with(BOLD, &title), matched.msg)?;
    writeln!(
        out,
        "  at        {}:{} (phase {})",
        matched.file, matched.line, matched.phase
    )?;
    writeln!(out, "  variable  {} = {}", matched.variable, matched.value)?;
    for step in &matched.steps {
        let name = format!("t:{}", step.transformation);
        writeln!(out, "  {name:<24}  {}", step.value)?;
    }
    if !matched.captured.is_empty() {
        writeln!(out, "  matched   {}", matched.captured)?;
    }
    writeln!(out, "  because   {}", matched.matched)?;
    if matched.score != 0 {
        writeln!(out, "  score     {:+}", matched.score)?;
    }
    if !matched.data.is_empty() {
        writeln!(out, "  data      {}", matched.data)?;
    }
    if !matched.tags.is_empty() {
        writeln!(out, "  tags      {}", matched.tags.join(", "))?;
    }
    Ok(())
}

/// Prints for programs: one JSON object.
pub(super) fn json(out: &mut impl Write, story: &Story) -> io::Result<()> {
    let rules: Vec<_> = story
        .matches
        .iter()
        .map(|matched| {
            json!({
                "rule_id": matched.rule_id,
                "phase": matched.phase,
                "file": &*matched.file,
                "line": matched.line,
                "msg": matched.msg,
                "data": matched.data,
                "match": matched.matched,
                "captured": matched.captured,
                "score": matched.score,
                "variable": matched.variable,
                "value": matched.value,
                "severity": matched.severity,
                "tags": &*matched.tags,
                "steps": matched.steps.iter().map(|step| json!({
                    "transformation": step.transformation,
                    "value": step.value,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let layers: Vec<_> = story
        .layers
        .iter()
        .map(|(layer, verdict)| json!({ "layer": layer.name(), "verdict": verdict }))
        .collect();
    let told = json!({
        "admitted": story.admitted,
        "route": story.exchange.route.as_deref(),
        "score": story.exchange.score,
        "layers": layers,
        "notes": story.notes,
        "rules": rules,
        "faults": story.exchange.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    writeln!(out, "{}", serde_json::to_string_pretty(&told)?)
}

/// Colours text if the reader is a terminal.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
