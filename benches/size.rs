//! How large the program is, and of how many packages it is made. `cargo bench --bench size`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use support::{PROGRAM, verdict_at_most};

/// Of the release profile, stripped. More is a decision: raise it with the reason.
const MEGABYTES_MAX: f64 = 14.0;

fn main() {
    let bytes = std::fs::metadata(PROGRAM).unwrap().len();
    verdict_at_most("size of the program", bytes as f64 / 1e6, MEGABYTES_MAX, "MB");
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none"]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeSet<Vec<&str>> = tree.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    // tests/supply.rs holds the bound.
    println!("packages               {}", packages.len());
}
