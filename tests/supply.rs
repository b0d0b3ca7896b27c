//! What is built in: where it comes from, under which licences, how much of it there is. The rules stand in deny.toml, which
//! `cargo deny` reads too; here they hold wherever the tests run.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use toml::Table;

/// Packages that the program is made of on one system, itself among them. More of them is a decision: raise it with the
/// reason for the new dependency.
const PACKAGES_MAX: usize = 140;
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn table(file: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Of Cargo.lock, but for this one.
fn locked() -> Vec<Table> {
    let packages = table("Cargo.lock")["package"].as_array().unwrap().clone();
    let tables = packages.into_iter().map(|package| package.as_table().unwrap().clone());
    tables.filter(|package| package["name"].as_str() != Some("claude-comms")).collect()
}

fn cargo(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(words).args(["--locked", "--offline"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names in a list of deny.toml.
fn crates(rules: &Table, list: &str) -> BTreeSet<String> {
    let all = rules["bans"][list].as_array().unwrap().iter();
    all.map(|entry| entry["crate"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_package_comes_from_one_registry_and_has_a_digest() {
    for package in locked() {
        assert_eq!(package["source"].as_str(), Some(CRATES_IO), "{package}");
        assert!(package["checksum"].as_str().is_some_and(|digest| digest.len() == 64), "{package}");
    }
}

#[test]
fn every_package_that_is_there_twice_has_its_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in locked() {
        let [name, version] = ["name", "version"].map(|key| package[key].as_str().unwrap().to_owned());
        versions.entry(name).or_default().insert(version);
    }
    let rules = table("deny.toml");
    let skipped = crates(&rules, "skip");
    for (name, versions) in &versions {
        let unexplained =
            versions.iter().filter(|version| !skipped.contains(&format!("{name}@{version}"))).collect::<Vec<_>>();
        assert!(unexplained.len() == 1, "{name} is there in {versions:?}; deny.toml explains all but {unexplained:?}");
    }
    for skipped in skipped {
        let (name, version) = skipped.split_once('@').unwrap();
        let is_twice = versions.get(name).is_some_and(|found| found.len() > 1 && found.contains(version));
        assert!(is_twice, "deny.toml explains {skipped}, which is not there twice");
    }
    for denied in crates(&rules, "deny") {
        assert!(!versions.contains_key(&denied), "{denied} is not to be used");
    }
}

/// Whether an SPDX expression can be met with these licences alone.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let expression = expression.trim();
    // What stands in brackets is one part.
    let parts = |word: &str| -> Vec<String> {
        let (mut parts, mut depth) = (vec![String::new()], 0);
        for each in expression.replace('/', " OR ").split_whitespace() {
            depth += each.matches('(').count();
            if depth == 0 && each == word {
                parts.push(String::new());
            } else {
                let part = parts.last_mut().unwrap();
                part.push_str(if part.is_empty() { "" } else { " " });
                part.push_str(each);
            }
            depth -= each.matches(')').count();
        }
        parts
    };
    let any = parts("OR");
    if any.len() > 1 {
        return any.iter().any(|part| is_met(part, allowed));
    }
    let all = parts("AND");
    if all.len() > 1 {
        return all.iter().all(|part| is_met(part, allowed));
    }
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => is_met(inner, allowed),
        None => allowed.contains(expression),
    }
}

#[test]
fn every_licence_is_one_of_those_that_are_allowed() {
    let rules = table("deny.toml");
    let allowed: BTreeSet<&str> =
        rules["licenses"]["allow"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for (expression, met) in [
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("(MIT AND GPL-3.0) OR LGPL-2.1", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
    // Packages of other systems need not be on this machine; `cargo deny` looks at them too.
    let version = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let words = ["metadata", "--format-version", "1", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&cargo(&words)).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_met(licence, &allowed), "{} has the licence {licence}", package["name"]);
    }
}

#[test]
fn the_program_is_not_made_of_more_packages_unnoticed() {
    let tree = cargo(&["tree", "-e", "normal", "--prefix", "none"]);
    let packages: BTreeSet<String> =
        tree.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    assert!(packages.len() <= PACKAGES_MAX, "there are {}: {packages:?}", packages.len());
    println!("{} packages", packages.len());
}
