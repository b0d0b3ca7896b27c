//! The units: systemd takes them without a complaint of substance, and launchd finds in its files what it needs.

use std::fs;
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs a program of the system; `None`, and a word about it, where it is missing.
fn run(command: &mut Command) -> Option<(Output, String)> {
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            let said = said.into_owned();
            Some((output, said))
        }
        Err(error) => {
            println!("skipped: {} cannot be run: {error}", command.get_program().display());
            None
        }
    }
}

/// What is to be expected where neither the program nor its manual is installed.
fn is_harmless(complaint: &str) -> bool {
    let program = complaint.contains("claude-comms is not executable: No such file or directory");
    let manual = complaint.contains("Command 'man claude-comms") && complaint.contains(" failed with code");
    program || manual
}

#[test]
fn systemd_takes_the_units() {
    let runtime = tempfile::tempdir().unwrap();
    for (scope, from, others) in [
        ("--system", "claude-comms", Some("claude-comms.service.d/agents.conf")),
        ("--user", "claude-comms.user", None),
    ] {
        // As it is installed: a socket is good only beside the service that it starts.
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let units = ["service", "socket"].map(|kind| (format!("{from}.{kind}"), path(&format!("claude-comms.{kind}"))));
        for (source, copy) in &units {
            fs::copy(format!("{ROOT}/systemd/{source}"), copy).unwrap();
        }
        if let Some(drop_in) = others {
            fs::create_dir(path("claude-comms.service.d")).unwrap();
            fs::copy(format!("{ROOT}/systemd/{drop_in}"), path(drop_in)).unwrap();
        }
        let unit = from;
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", scope]).args(units.iter().map(|(_, copy)| copy)).env("XDG_RUNTIME_DIR", runtime.path());
        // It ends well in spite of most complaints, so these are what counts.
        let Some((_, said)) = run(&mut verify) else { return };
        let complaints: Vec<&str> = said.lines().filter(|line| !is_harmless(line)).collect();
        assert!(complaints.is_empty(), "{unit}: {complaints:#?}");
    }
}

#[test]
fn the_system_unit_is_hardened() {
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--threshold=15", "--no-pager"]);
    let Some((output, said)) = run(security.arg(format!("{ROOT}/systemd/claude-comms.service"))) else { return };
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_task_without_memory_does_not_take_the_daemon_with_it() {
    // Unless told so, systemd stops everything when the kernel has killed one process of a unit.
    for unit in ["claude-comms.service", "claude-comms.user.service"] {
        let text = fs::read_to_string(format!("{ROOT}/systemd/{unit}")).unwrap();
        assert!(text.lines().any(|line| line == "OOMPolicy=continue"), "{unit}");
    }
}

#[test]
fn the_units_point_to_pages_that_exist() {
    for unit in ["claude-comms.service", "claude-comms.user.service", "claude-comms.socket", "claude-comms.user.socket"]
    {
        let text = fs::read_to_string(format!("{ROOT}/systemd/{unit}")).unwrap();
        let pages = text.lines().filter_map(|line| line.strip_prefix("Documentation=")).flat_map(str::split_whitespace);
        let mut count = 0;
        for page in pages {
            let (name, section) = page.strip_prefix("man:").unwrap().trim_end_matches(')').split_once('(').unwrap();
            assert!(fs::exists(format!("{ROOT}/man/{name}.{section}")).unwrap(), "{unit}: {page}");
            count += 1;
        }
        assert!(count > 0, "{unit} names no page");
    }
}

/// Prints nothing when all is well.
const CHECK_PLIST: &str = r#"
import plistlib, sys
with open(sys.argv[1], 'rb') as file:
    found = plistlib.load(file)
kinds = {'Label': str, 'ProgramArguments': list, 'RunAtLoad': bool, 'KeepAlive': dict, 'ProcessType': str, 'Umask': int,
         'UserName': str, 'EnvironmentVariables': dict, 'StandardErrorPath': str}
for key in ('Label', 'ProgramArguments', 'RunAtLoad', 'KeepAlive', 'Umask'):
    if key not in found: print('missing', key)
for key, value in found.items():
    if key not in kinds: print('unknown', key)
    elif type(value) is not kinds[key]: print('of the wrong type', key)
if found['Label'] + '.plist' != sys.argv[1].rsplit('/', 1)[1]: print('the label is not the name of the file')
if found['ProgramArguments'][-1:] != ['daemon']: print('does not run the daemon in the foreground')
if found['KeepAlive'] != {'SuccessfulExit': False}: print('is not started again after a failure only')
if found['RunAtLoad'] is not True: print('is not started by itself')
if found['Umask'] != 0o077: print('lets others in')
"#;

#[test]
fn launchd_finds_what_it_needs() {
    for job in ["agent", "daemon"] {
        let file = format!("{ROOT}/launchd/io.github.claude-comms.{job}.plist");
        let Some((output, said)) = run(Command::new("python3").args(["-c", CHECK_PLIST, &file])) else { return };
        assert!(output.status.success() && said.is_empty(), "{file}: {said}");
    }
}
