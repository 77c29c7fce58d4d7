//! What loads, what does not, and where the caret stands.

use super::*;

fn problems(text: &str) -> Vec<String> {
    match Loader::new().text("t.conf", text).load() {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(show).collect(),
    }
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = Loader::new().text("t.conf", text).load().unwrap();
    loaded.warnings.iter().map(show).collect()
}

fn show(problem: &Problem) -> String {
    let caret = problem
        .text
        .get(problem.column - 1..problem.column - 1 + problem.length)
        .unwrap_or("?");
    let help = problem.help.as_deref().unwrap_or("-");
    format!("{} <{caret}> {} ({help})", problem.line, problem.message)
}

#[test]
fn a_pattern_loads_its_files_in_order_and_names_every_file_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("2.conf", "SecAction \"id:2,pass\"\nInclude inner.cfg\n");
    write(
        "1.conf",
        "SecRule ARGS \"@pmFromFile words.data\" \"id:1\"\n",
    );
    write("inner.cfg", "SecAction \"id:3,pass\"\n");
    write("words.data", "evil\n");
    write("left-out.conf.example", "no directive\n");
    let pattern = path("*.conf").display().to_string();
    let loaded = Loader::new().files(&pattern, true).load().unwrap();
    assert_eq!(loaded.rules.rule_ids().collect::<Vec<_>>(), [1, 2, 3]);
    let read = ["1.conf", "words.data", "2.conf", "inner.cfg"].map(path);
    assert!(loaded.inputs.files().eq(read.iter()));
}

#[test]
fn a_pattern_without_files_is_a_problem_only_where_files_are_required() {
    let load = |required| Loader::new().files("/nonexistent/*.conf", required).load();
    assert!(load(false).is_ok());
    let problem = load(true).unwrap_err().remove(0);
    assert_eq!((&*problem.file, problem.line), ("/nonexistent/*.conf", 0));
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let found = problems(
        "SecRul ARGS \"@rx a\" \"id:1\"\n\
         SecRule ARGZ \"@rx a\" \"id:2,denny\"\n\
         SecRule ARGS \"@rxx a\" \\\n    \"id:3,t:lowercse\"\n\
         SecRule ARGS \"@rx a\"\n\
         SecRule WEBSERVER_ERROR_LOG \"@rx a\" \"id:4,exec:/bin/x\"\n",
    );
    assert_eq!(
        found,
        [
            "1 <SecRul> unknown directive `SecRul` (did you mean `SecRule`?)",
            "2 <ARGZ> unknown variable `ARGZ` (did you mean `ARGS`?)",
            "2 <denny> unknown action `denny` (did you mean `deny`?)",
            "4 <t:lowercse> unknown transformation `lowercse` (did you mean `lowercase`?)",
            "3 <@rxx> unknown operator @rxx (did you mean `rx`?)",
            "5 <SecRule> this rule has no id (-)",
            "6 <WEBSERVER_ERROR_LOG> WEBSERVER_ERROR_LOG is not served: no engine serves this variable (-)",
            "6 <exec:/bin/x> exec is not executed: rules cannot start programs or scripts (-)",
        ]
    );
}

#[test]
fn an_identifier_twice_names_the_first_place() {
    let found = problems("SecAction \"id:1\"\nSecAction \"id:1\"");
    assert_eq!(
        found,
        ["2 <SecAction> rule 1 exists already (first defined at t.conf:1)"]
    );
}

#[test]
fn a_chain_without_an_end_is_an_error() {
    assert_eq!(
        problems("SecRule ARGS a \"id:1,chain\"\nSecMarker x"),
        ["1 <SecRule> this rule ends in `chain`, but no rule follows (-)"]
    );
    assert_eq!(problems("SecRule ARGS a \"id:1,chain\"").len(), 1);
    assert_eq!(
        problems("SecRule ARGS a \"id:1,chain\"\nSecRule ARGS b \"deny\"").len(),
        1
    );
}

#[test]
fn what_has_no_effect_says_so() {
    assert_eq!(
        warnings("SecDebugLogLevel 3\nSecAction \"id:1,pause:3\""),
        [
            "1 <SecDebugLogLevel> SecDebugLogLevel has no effect: the host writes logs (-)",
            "2 <pause:3> pause has no effect: no current engine acts on it (-)",
        ]
    );
    assert_eq!(
        warnings("SecRuleRemoveById 77"),
        ["1 <SecRuleRemoveById> no rule is meant by this directive (-)"]
    );
    assert_eq!(warnings("SecAction \"id:1,skipAfter:X\"").len(), 1);
}

#[test]
fn a_protection_that_is_not_there_is_refused_and_its_absence_loads() {
    assert_eq!(
        problems(
            "SecHashEngine On\nSecConnEngine On\nSecStreamInBodyInspection On\n\
             SecStreamOutBodyInspection on\nSecAction \"id:1,exec:/bin/x\"\nSecHashEngine"
        ),
        [
            "1 <SecHashEngine> SecHashEngine is not executed: hash enforcement is not part of the engine (-)",
            "2 <SecConnEngine> SecConnEngine is not executed: the host limits connections (-)",
            "3 <SecStreamInBodyInspection> SecStreamInBodyInspection is not executed: \
             bodies are inspected whole, as REQUEST_BODY (-)",
            "4 <SecStreamOutBodyInspection> SecStreamOutBodyInspection is not executed: \
             bodies are inspected whole, as RESPONSE_BODY (-)",
            "5 <exec:/bin/x> exec is not executed: \
             rules cannot start programs or scripts (-)",
            "6 <SecHashEngine> SecHashEngine is not executed: hash enforcement is not part of the engine (-)",
        ]
    );
    let harmless = "SecHashEngine Off\nSecConnEngine off\nSecStreamInBodyInspection \"Off\"";
    assert!(problems(harmless).is_empty());
    assert!(warnings(harmless).is_empty());
}

#[test]
fn rules_are_counted_after_removals() {
    let loaded = Loader::new()
        .text(
            "t.conf",
            "SecRuleRemoveById 2-3\nSecAction id:1\nSecAction id:2\nSecAction id:3\nSecAction id:4",
        )
        .load()
        .unwrap();
    assert_eq!(loaded.rules.rule_count(), 2);
    assert_eq!(loaded.rules.rule_ids().collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn a_missing_file_is_a_problem_not_a_panic() {
    let outcome = Loader::new().file(Path::new("/nonexistent/x.conf")).load();
    assert_eq!(outcome.unwrap_err().len(), 1);
    assert_eq!(problems("Include nowhere/*.conf").len(), 1);
}

#[test]
fn look_around_that_could_silence_its_rule_is_refused() {
    let negated = problems("SecRule ARGS \"!@rx a(?!b)\" \"id:1,phase:2,deny\"");
    assert_eq!(negated.len(), 1);
    assert!(negated[0].contains("cannot be negated"), "{negated:?}");
    assert!(problems("SecRule ARGS \"@rx a(?!b)\" \"id:1,phase:2,deny\"").is_empty());
    assert!(problems("SecRule ARGS \"!@rx ab\" \"id:1,phase:2,deny\"").is_empty());
}
