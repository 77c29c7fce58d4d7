//! The OWASP Core Rule Set 4, unmodified (`CRS_DIR`): it loads, and at the highest paranoia level its
//! prefiltered evaluation is the plain one. Whether its rules find what they should is the business of
//! the regression suite, which runs against the whole gateway.

use std::path::Path;
use std::sync::Arc;

use super::corpus;
use crate::fuzzing::{attacks, fast_and_plain_agree};
use crate::{Loader, RuleSet};

fn load(root: &Path) -> RuleSet {
    let paranoid = "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level=4\"\n\
                    SecResponseBodyAccess On\nSecRuleEngine DetectionOnly";
    let rules = format!("Include {}/rules/*.conf", root.display());
    let loaded = Loader::new()
        .file(&root.join("crs-setup.conf.example"))
        .text("paranoid", paranoid)
        .text("rules", &rules)
        .load();
    match loaded {
        Ok(loaded) => loaded.rules,
        Err(problems) => panic!("{problems:#?}"),
    }
}

#[test]
fn the_core_rule_set_loads_and_its_prefilters_lose_nothing() {
    let Some(root) = corpus("CRS_DIR", "crs4") else {
        return;
    };
    let rules = Arc::new(load(&root));
    assert!(rules.rule_count() > 600);
    for request in attacks() {
        fast_and_plain_agree(&rules, request.as_bytes());
    }
}
