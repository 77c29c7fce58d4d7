//! What an overlay changes, and that it changes nothing else.

use super::*;
use crate::{Disruption, Loader, RequestLine};

const SCORED: &str = r#"
SecAction "id:900000,phase:1,pass,nolog,setvar:tx.level=1,setvar:tx.threshold=5"
SecRule &TX:limit "@eq 0" "id:901100,phase:1,pass,nolog,setvar:tx.limit=10"
SecRule TX:level "@lt 2" "id:901200,phase:1,pass,nolog,skipAfter:END-2"
SecRule ARGS "@contains strict" "id:2001,phase:1,deny,tag:'strict'"
SecMarker END-2
SecRule ARGS "@contains evil" "id:1001,phase:1,pass,tag:'app',setvar:tx.inbound_anomaly_score=+5"
SecRule ARGS_GET "@contains attack" "id:1002,phase:1,pass,tag:'app',setvar:tx.inbound_anomaly_score=+5"
SecRule TX:inbound_anomaly_score "@ge %{tx.threshold}" "id:949110,phase:1,deny,status:403"
"#;

fn rules() -> Arc<RuleSet> {
    let loader = Loader::new().text("/rules/APP-1.conf", SCORED);
    let loader = loader.text(
        "/rules/APP-2.conf",
        "SecRule ARGS \"@contains second\" \"id:3001,phase:1,deny\"",
    );
    match loader.load() {
        Ok(loaded) => Arc::new(loaded.rules),
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn overlay(edit: impl FnOnce(&mut Profile)) -> Arc<Profile> {
    let mut profile = Profile::new(rules());
    edit(&mut profile);
    Arc::new(profile)
}

/// The rule that refuses a GET of `target`, if one does.
fn refused(profile: &Arc<Profile>, target: &str) -> Option<u64> {
    let address = "192.0.2.1:4000".parse().unwrap();
    let origin = Origin {
        client: address,
        server: address,
    };
    let mut transaction = profile.begin(origin, "unique", SystemTime::UNIX_EPOCH);
    let line = RequestLine {
        method: b"GET",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let intervention = transaction.request_headers(line, std::iter::empty())?;
    assert_eq!(intervention.action, Disruption::Deny);
    Some(intervention.rule_id)
}

fn choose(profile: &Profile, choice: Choice<'_>) -> Chosen {
    profile.choose(choice).unwrap()
}

#[test]
fn a_profile_without_changes_is_the_rules() {
    let plain = overlay(|_| {});
    assert!(plain.is_plain());
    assert_eq!(refused(&plain, "/?a=evil"), Some(949_110));
    assert_eq!(refused(&plain, "/?a=strict"), None);
    assert_eq!(refused(&plain, "/?a=second"), Some(3001));
}

#[test]
fn a_pinned_variable_wins_over_the_setup_files_assignment() {
    let strict = overlay(|profile| profile.pin("LEVEL", "2").unwrap());
    assert_eq!(refused(&strict, "/?a=strict"), Some(2001));
    let lenient = overlay(|profile| profile.pin("threshold", "10").unwrap());
    assert_eq!(refused(&lenient, "/?a=evil"), None);
    assert_eq!(refused(&lenient, "/?a=evil+attack"), Some(949_110));
    let pins: Vec<_> = lenient.pins().collect();
    assert_eq!(pins, [(&b"threshold"[..], &b"10"[..])]);
}

#[test]
fn two_profiles_share_one_rule_set() {
    let rules = rules();
    let mut one = Profile::new(rules.clone());
    one.pin("level", "2").unwrap();
    let two = Profile::new(rules.clone());
    assert_eq!(Arc::strong_count(&rules), 3);
    assert_eq!(refused(&Arc::new(one), "/?a=strict"), Some(2001));
    assert_eq!(refused(&Arc::new(two), "/?a=strict"), None);
}

#[test]
fn rules_are_removed_by_number_tag_and_file_and_no_others() {
    for choice in [Choice::Ids(949_110, 949_110), Choice::Ids(900_001, 949_999)] {
        let profile = overlay(|profile| profile.remove(&choose(profile, choice)));
        assert_eq!(refused(&profile, "/?a=evil"), None, "{choice:?}");
        assert_eq!(refused(&profile, "/?a=second"), Some(3001), "{choice:?}");
    }
    let tagged = overlay(|profile| profile.remove(&choose(profile, Choice::Tag("app"))));
    assert_eq!(refused(&tagged, "/?a=evil+attack"), None);
    assert_eq!(tagged.removed_count(), 2);
    for pattern in ["APP-2.conf", "*-2*", "/rules/APP-2.conf"] {
        let profile = overlay(|profile| profile.remove(&choose(profile, Choice::File(pattern))));
        assert_eq!(refused(&profile, "/?a=second"), None, "{pattern}");
        assert_eq!(refused(&profile, "/?a=evil"), Some(949_110), "{pattern}");
    }
}

#[test]
fn an_exclusion_hides_the_named_values_from_the_named_rules_alone() {
    for target in [
        "ARGS:note",
        "ARGS:/^no/",
        "ARGS:NOTE",
        "ARGS:note.*",
        "ARGS",
    ] {
        let profile = overlay(|profile| {
            let chosen = choose(profile, Choice::Ids(1001, 1001));
            profile.exclude(&chosen, target).unwrap();
        });
        assert_eq!(refused(&profile, "/?note=evil"), None, "{target}");
        assert_eq!(refused(&profile, "/?note=second"), Some(3001), "{target}");
        let other = (target != "ARGS").then_some(949_110);
        assert_eq!(refused(&profile, "/?other=evil"), other, "{target}");
    }
}

#[test]
fn a_subtree_is_a_key_and_what_is_below_it_not_what_begins_alike() {
    let profile = overlay(|profile| {
        let chosen = choose(profile, Choice::Ids(1001, 1001));
        profile.exclude(&chosen, "ARGS:json.user.*").unwrap();
    });
    for name in ["json.user", "json.user.name", "JSON.user[0].x"] {
        assert_eq!(refused(&profile, &format!("/?{name}=evil")), None, "{name}");
    }
    for name in ["json.username", "json", "xjson.user.name"] {
        let by = refused(&profile, &format!("/?{name}=evil"));
        assert_eq!(by, Some(949_110), "{name}");
    }
}

#[test]
fn naming_an_argument_also_means_rules_that_look_at_the_query_alone() {
    let profile = overlay(|profile| {
        let chosen = choose(profile, Choice::Tag("app"));
        profile.exclude(&chosen, "ARGS:note").unwrap();
    });
    assert_eq!(refused(&profile, "/?note=attack"), None);
    assert_eq!(refused(&profile, "/?other=attack"), Some(949_110));
}

#[test]
fn what_cannot_be_laid_over_the_rules_is_named() {
    let mut profile = Profile::new(rules());
    let message = |error: ProfileError| error.message;
    let unknown = profile.pin("treshold", "1").unwrap_err();
    assert_eq!(unknown.help.as_deref(), Some("did you mean `threshold`?"));
    for name in ["inbound_anomaly_score", "0"] {
        assert!(profile.pin(name, "1").is_err(), "{name}");
    }
    for choice in [
        Choice::Ids(7, 7),
        Choice::Ids(1, 999),
        Choice::Tag("nope"),
        Choice::File("APP-3*"),
    ] {
        assert!(profile.choose(choice).is_err(), "{choice:?}");
    }
    let chosen = choose(&profile, Choice::Tag("app"));
    for target in ["ARG:x", "REMOTE_ADDR:x", "ARGS:/(/", "ARGS:"] {
        assert!(profile.exclude(&chosen, target).is_err(), "{target}");
    }
    let near = profile.exclude(&chosen, "ARG:x").map_err(message);
    assert_eq!(near.unwrap_err(), "unknown variable `ARG`");
}
