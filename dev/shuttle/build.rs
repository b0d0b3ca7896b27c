//! Copies the room's sources into the build folder, once as they are and once for each deliberate mistake, with a `sync`
//! that belongs to the scheduler. A mistake that does not apply any more fails the build.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// A wrong variant: its name, the file, what stands there, and what stands there instead.
type Mistake = (&'static str, &'static str, &'static str, &'static str);

const MISTAKES: [Mistake; 6] = [
    (
        // A result speaks although its generation has passed.
        "late_results_count",
        "circuit_breaker/state.rs",
        "if ticket.generation != self.generation {\n            return (Settlement::Stale, None);",
        "if ticket.generation > self.generation {\n            return (Settlement::Stale, None);",
    ),
    (
        // Every thread tells what it finds in the queue, and they overtake one another.
        "everybody_tells",
        "circuit_breaker/mod.rs",
        "if !guarded.telling {",
        "if !guarded.changes.is_empty() {",
    ),
    (
        // Listeners are told while the breaker is still locked.
        "tells_under_the_lock",
        "circuit_breaker/telling.rs",
        "            let change = {\n                let mut guarded = self.shared.guarded.lock();\n                match",
        "            let mut guarded = self.shared.guarded.lock();\n            let change = {\n                match",
    ),
    (
        // The flag is set after the wake-up, which may then come too soon for a waiter.
        "wakes_before_it_says_why",
        "cancel.rs",
        "*self.shared.cancelled.lock() = true;\n        self.shared.changed.notify_all();",
        "self.shared.changed.notify_all();\n        *self.shared.cancelled.lock() = true;",
    ),
    (
        // Looks at the account, lets go of it, and takes from it.
        "looks_before_it_takes",
        "budget.rs",
        "if account.balance() < TOKEN {\n            return false;\n        }\n",
        "if account.balance() < TOKEN {\n            return false;\n        }\n        drop(account);\n        let mut account = self.account.lock();\n",
    ),
    (
        // Two threads find no breaker of that name, and both make one.
        "looks_before_it_inserts",
        "registry.rs",
        "let breaker = CircuitBreaker::untold(name, settings, &self.effects)?;\n",
        "drop(breakers);\n        let breaker = CircuitBreaker::untold(name, settings, &self.effects)?;\n        let mut breakers = self.breakers.lock();\n",
    ),
];

const SYNC: &str = "//! The scheduler's own.\npub(in ROOM) use crate::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, panicking};\n";

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let room = here.join("../../src/resilience");
    let checks = here.join("src/checks.rs");
    println!("cargo::rerun-if-changed={}", room.display());
    println!("cargo::rerun-if-changed=build.rs");

    let mut modules = String::new();
    let none: Mistake = ("as_it_is", "", "", "");
    for mistake in [none].iter().chain(&MISTAKES) {
        let name = mistake.0;
        let target = out.join(name);
        // Nothing may be left of files that have moved since the last build.
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        copy(&room, &target, Path::new(""), mistake)?;
        writeln!(
            modules,
            "pub mod {name} {{ #[path = {:?}] pub mod resilience; #[path = {checks:?}] pub mod checks; }}",
            target.join("mod.rs"),
        )
        .map_err(io::Error::other)?;
    }
    let names: Vec<&str> = MISTAKES.iter().map(|mistake| mistake.0).collect();
    let list: String = names.iter().map(|name| format!("({name:?}, {name}::checks::ALL), ")).collect();
    writeln!(modules, "pub const MISTAKES: &[(&str, &[crate::Check])] = &[{list}];").map_err(io::Error::other)?;
    fs::write(out.join("variants.rs"), modules)
}

fn copy(from: &Path, to: &Path, inside: &Path, mistake: &Mistake) -> io::Result<()> {
    let (name, file, right, wrong) = mistake;
    fs::create_dir_all(to.join(inside))?;
    for entry in fs::read_dir(from.join(inside))? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(from, to, &path, mistake)?;
            continue;
        }
        let room = format!("crate::{name}::resilience");
        let mut text = fs::read_to_string(entry.path())?;
        if path == Path::new("sync.rs") {
            text = SYNC.replace("ROOM", &room);
        }
        if path == Path::new(file) {
            assert_eq!(text.matches(right).count(), 1, "mistake {name} does not apply to {file} any more");
            text = text.replace(right, wrong);
        }
        fs::write(to.join(path), text.replace("crate::resilience", &room))?;
    }
    Ok(())
}
