//! Breaks a copy of the room, one small way at a time, and runs its tests on it. Whoever survives is named.
//! `resilience-mutants [WORD]` tries those mutations only whose file or text contains the word.

mod mutations;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{fs, io};

use mutations::{MUTATIONS, Mutation};

/// Longest run of the tests, in seconds; a mutation that makes them hang counts as killed.
const TESTS_SECONDS_MAX: &str = "120";
/// And the most memory that it may take, in KiB: a loop without an end may well fill a list.
const TESTS_MEMORY_KIB_MAX: &str = "8388608";
/// The share of mutations that the tests must notice, in percent.
const KILLED_PERCENT_MIN: usize = 95;

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Passed,
    Failed,
    DoesNotCompile,
}

fn main() -> io::Result<ExitCode> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (room, copy) = (here.join("../.."), here.join("target/room"));
    lay_out(&room, &copy)?;
    // Said aloud: without the reason nobody could mend it.
    if tests(&copy, Stdio::inherit)? != End::Passed {
        println!("the room as it is does not pass its tests");
        return Ok(ExitCode::FAILURE);
    }
    let word = std::env::args().nth(1).unwrap_or_default();
    let chosen: Vec<&Mutation> =
        MUTATIONS.iter().filter(|one| one.file.contains(&word) || one.right.contains(&word)).collect();
    let (mut killed, mut invalid) = (0, 0);
    for mutation in &chosen {
        let end = with_mutation(&copy, mutation)?;
        let verdict = match end {
            End::Failed => "killed  ",
            End::Passed => "SURVIVED",
            End::DoesNotCompile => "INVALID ",
        };
        println!("{verdict} {mutation}");
        killed += usize::from(end == End::Failed);
        invalid += usize::from(end == End::DoesNotCompile);
    }
    println!("{killed} of {} killed, {invalid} invalid", chosen.len());
    // What does not apply any more tries nothing: it is to be mended, not counted.
    let good = invalid == 0 && killed * 100 >= KILLED_PERCENT_MIN * chosen.len();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The copy: a package of the room, its clock, the threads and its log test.
fn lay_out(room: &Path, copy: &Path) -> io::Result<()> {
    // The target folder stays, so that dependencies are built once.
    for folder in ["src", "tests"] {
        if copy.join(folder).exists() {
            fs::remove_dir_all(copy.join(folder))?;
        }
        fs::create_dir_all(copy.join(folder))?;
    }
    fs::write(copy.join("src/lib.rs"), "pub mod clock;\npub mod resilience;\npub mod thread;\n")?;
    for file in ["src/clock.rs", "src/thread.rs", "tests/resilience_logs.rs"] {
        fs::copy(room.join(file), copy.join(file))?;
    }
    copy_all(&room.join("src/resilience"), &copy.join("src/resilience"))?;
    let named = all_text(&copy.join("src"))? + &all_text(&copy.join("tests"))?;
    fs::write(copy.join("Cargo.toml"), manifest(&fs::read_to_string(room.join("Cargo.toml"))?, &named))?;
    // The same versions as the product; cargo drops those that are not needed.
    fs::copy(room.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    Ok(())
}

/// The product's manifest, with only those dependencies that the copied files name: whatever they come to need, the
/// copy still builds.
fn manifest(product: &str, sources: &str) -> String {
    let mut manifest = String::new();
    let mut section = "";
    for line in product.lines() {
        if line.starts_with('[') {
            section = line;
            if matches!(section, "[package]" | "[dependencies]" | "[dev-dependencies]") {
                let _ = writeln!(manifest, "{section}");
            }
            continue;
        }
        let Some((key, _)) = line.split_once(" = ") else { continue };
        let kept = match section {
            "[package]" => matches!(key, "name" | "version" | "edition"),
            "[dependencies]" | "[dev-dependencies]" => sources.contains(&format!("{}::", key.replace('-', "_"))),
            _ => false,
        };
        if kept {
            let _ = writeln!(manifest, "{line}");
        }
    }
    manifest + "[workspace]\n[profile.dev]\ndebug = false\n[profile.dev.package.\"*\"]\nopt-level = 2\n"
}

fn all_text(folder: &Path) -> io::Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        text += &if path.is_dir() { all_text(&path)? } else { fs::read_to_string(&path)? };
    }
    Ok(text)
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn with_mutation(copy: &Path, mutation: &Mutation) -> io::Result<End> {
    let file = copy.join("src/resilience").join(mutation.file);
    let text = fs::read_to_string(&file)?;
    if text.matches(mutation.right).count() != 1 {
        println!("stands there {} times:", text.matches(mutation.right).count());
        return Ok(End::DoesNotCompile);
    }
    fs::write(&file, text.replace(mutation.right, mutation.wrong))?;
    let end = tests(copy, Stdio::null);
    fs::write(&file, text)?;
    end
}

fn tests(copy: &Path, said: fn() -> Stdio) -> io::Result<End> {
    let run = |arguments: &[&str]| {
        Command::new("sh")
            .args(["-c", "ulimit -v \"$0\" && exec timeout \"$@\"", TESTS_MEMORY_KIB_MAX])
            .args([TESTS_SECONDS_MAX, "cargo", "test", "--quiet", "--lib", "--tests"])
            .args(arguments)
            .current_dir(copy)
            .stdout(said())
            .stderr(said())
            .status()
    };
    if !run(&["--no-run"])?.success() {
        return Ok(End::DoesNotCompile);
    }
    Ok(if run(&[])?.success() { End::Passed } else { End::Failed })
}
