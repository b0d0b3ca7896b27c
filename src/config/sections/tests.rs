//! The table itself.

use super::*;

#[test]
fn every_default_passes_its_own_check() {
    for setting in settings() {
        let Some(default) = setting.default() else { continue };
        let kind = &setting.row.kind;
        let again = kind.read_text(&default.to_plain_text()).unwrap();
        assert_eq!(kind.check(&again), Ok(default), "{}", setting.key());
    }
}

#[test]
fn no_name_appears_twice() {
    let keys: Vec<String> = settings().map(|setting| setting.key()).collect();
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[at + 1..].contains(key), "{key}");
    }
}
