//! Links the unwinder of GCC into the program: as a library of its own it would cost every start a tenth of a
//! millisecond, and the program is started for every question that is asked of the daemon.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|set| set == value);
    let native = env::var("HOST").ok() == env::var("TARGET").ok();
    if !native || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") || !has_static_unwinder() {
        return;
    }
    let Some(out) = env::var_os("OUT_DIR") else { return };
    // The linker looks here first for what the standard library asks for by this name.
    if fs::write(Path::new(&out).join("libgcc_s.so"), "INPUT(-lgcc_eh)\n").is_ok() {
        println!("cargo::rustc-link-search=native={}", Path::new(&out).display());
    }
}

/// The compiler answers with the bare name when it has no such file.
fn has_static_unwinder() -> bool {
    let asked = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    asked.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_absolute())
}
