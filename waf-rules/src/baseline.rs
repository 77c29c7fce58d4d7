//! The rule set that ships with the engine, embedded file by file in load order.
//!
//! `baseline/README.md` says what each file covers. The files of `baseline/optional/` are not here:
//! a configuration that wants them names them.

macro_rules! files {
    ($($name:literal)*) => {
        &[$((
            concat!("baseline/", $name),
            include_str!(concat!("../baseline/", $name)),
        ),)*]
    };
}

/// Name and text of every file.
pub(crate) const FILES: &[(&str, &str)] = files![
    "00-setup.conf"
    "10-protocol.conf"
    "12-scanners.conf"
    "13-files.conf"
    "20-sqli.conf"
    "21-xss.conf"
    "22-command.conf"
    "23-path.conf"
    "24-ssrf.conf"
    "25-template.conf"
    "26-java.conf"
    "27-scripting.conf"
    "28-directory.conf"
    "29-xml.conf"
    "30-crlf.conf"
    "31-graphql.conf"
    "40-raw-body.conf"
    "90-evaluation.conf"
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::Loader;

    #[test]
    fn every_file_of_the_folder_is_embedded_in_its_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline");
        let found: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".conf"))
            .map(|name| format!("baseline/{name}"))
            .collect();
        let embedded: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), embedded);
    }

    #[test]
    fn the_baseline_loads_without_a_warning() {
        let loaded = Loader::new().baseline().load().unwrap();
        assert!(loaded.rules.rule_count() > 100);
        assert_eq!(loaded.warnings, []);
    }
}
