//! What packages consist of: the installation script and the metadata for packages name the same files, the units run the
//! program where it has been put, and the configuration that is installed shows every default and changes none.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use claude_comms::config::{Config, Overrides, SECTIONS, Sources, settings};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Where each kind of package has what the installation script puts elsewhere: its path, and the package's, if it has it.
const ELSEWHERE_IN_DEB: [(&str, Option<&str>); 4] = [
    ("usr/share/zsh/site-functions/_claude-comms", Some("usr/share/zsh/vendor-completions/_claude-comms")),
    ("usr/share/doc/claude-comms/CHANGELOG.md", Some("usr/share/doc/claude-comms/changelog")),
    ("usr/share/doc/claude-comms/LICENSE-MIT", Some("usr/share/doc/claude-comms/copyright")),
    ("usr/share/doc/claude-comms/LICENSE-APACHE", None),
];

/// Runs the installation script into `root`.
fn install(root: &Path, prefix: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(format!("{ROOT}/packaging/install"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("DESTDIR", root).env("PREFIX", prefix);
    // What is installed as the program does not matter here.
    command.env("BINARY", format!("{ROOT}/packaging/install")).args(arguments).output().unwrap()
}

#[track_caller]
fn installed(prefix: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let ran = install(root.path(), prefix, &[]);
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    root
}

/// Every file below `root`, and its mode.
fn files(root: &Path) -> BTreeMap<String, u32> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), mode);
            }
        }
    }
    found
}

fn manifest() -> toml::Table {
    fs::read_to_string(format!("{ROOT}/Cargo.toml")).unwrap().parse().unwrap()
}

/// The files that a source of an asset stands for.
fn sources(pattern: &str) -> Vec<String> {
    let Some((folder, end)) = pattern.split_once('*') else { return vec![pattern.to_owned()] };
    let entries = fs::read_dir(format!("{ROOT}/{folder}")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(end)).map(|name| format!("{folder}{name}")).collect()
}

/// What comes of a list of assets: each file's place and mode.
fn assets<'a>(assets: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> BTreeMap<String, u32> {
    let mut placed = BTreeMap::new();
    for (source, destination, mode) in assets {
        let found = sources(source);
        assert!(!found.is_empty(), "nothing is {source}");
        for file in found {
            assert!(file.starts_with("target/") || fs::exists(format!("{ROOT}/{file}")).unwrap(), "there is no {file}");
            let name = file.rsplit('/').next().unwrap();
            let path = if destination.ends_with('/') { format!("{destination}{name}") } else { destination.to_owned() };
            let mode = u32::from_str_radix(mode, 8).unwrap();
            assert_eq!(placed.insert(path.trim_start_matches('/').to_owned(), mode), None, "twice: {path}");
        }
    }
    placed
}

fn relocated(files: BTreeMap<String, u32>, elsewhere: &[(&str, Option<&str>)]) -> BTreeMap<String, u32> {
    let place = |path: String| match elsewhere.iter().find(|(here, _)| *here == path) {
        Some((_, there)) => there.map(ToOwned::to_owned),
        None => Some(path),
    };
    files.into_iter().filter_map(|(path, mode)| Some((place(path)?, mode))).collect()
}

#[test]
fn a_deb_consists_of_what_is_installed() {
    let root = installed("/usr");
    let manifest = manifest();
    let deb = &manifest["package"]["metadata"]["deb"];
    let listed = deb["assets"].as_array().unwrap().iter().map(|asset| {
        let words: Vec<&str> = asset.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        (words[0], words[1], words[2])
    });
    assert_eq!(assets(listed), relocated(files(root.path()), &ELSEWHERE_IN_DEB));
    for file in deb["conf-files"].as_array().unwrap() {
        let path = file.as_str().unwrap().trim_start_matches('/');
        assert!(path.starts_with("etc/") && root.path().join(path).exists(), "{path}");
    }
}

#[test]
fn an_rpm_consists_of_what_is_installed() {
    let root = installed("/usr");
    let manifest = manifest();
    let rpm = &manifest["package"]["metadata"]["generate-rpm"];
    let listed = rpm["assets"].as_array().unwrap().iter().map(|asset| {
        let word = |key: &str| asset[key].as_str().unwrap();
        (word("source"), word("dest"), word("mode"))
    });
    assert_eq!(assets(listed), files(root.path()));
    for asset in rpm["assets"].as_array().unwrap() {
        let is_config = asset["dest"].as_str().unwrap().starts_with("/etc/");
        assert_eq!(asset.get("config").and_then(|how| how.as_str()), is_config.then_some("noreplace"), "{asset}");
    }
    for script in ["post_install_script", "pre_uninstall_script", "post_uninstall_script"] {
        let script = format!("{ROOT}/{}", rpm[script].as_str().unwrap());
        let checked = Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn a_formula_names_the_archive_and_runs_the_daemon() {
    let archive = format!("{ROOT}/LICENSE-MIT");
    let formula = |address: &str| {
        let mut command = Command::new(format!("{ROOT}/packaging/homebrew/formula"));
        command.args([&archive, address, "https://comms.example"]).output().unwrap()
    };
    let made = formula("https://comms.example/claude-comms-0.1.0.tar.gz");
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success() && !text.contains('@'), "{text}");
    let sum = text.lines().find_map(|line| line.trim().strip_prefix("sha256 ")).unwrap().trim_matches('"');
    assert!(sum.len() == 64 && sum.chars().all(|digit| digit.is_ascii_hexdigit()), "{sum}");
    assert!(
        text.contains(r#"run [opt_bin/"claude-comms", "daemon"]"#)
            && text.contains("keep_alive successful_exit: false")
    );
    for address in ["http://comms.example/x", "https://comms.example/\"; system \"x"] {
        assert!(!formula(address).status.success(), "{address}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    match Command::new("ruby").args(["-w", "-c"]).arg(file.path()).output() {
        Ok(checked) => assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}"),
        Err(error) => println!("skipped: ruby cannot be run: {error}"),
    }
}

#[test]
fn units_run_the_program_where_it_was_put() {
    for (prefix, program) in [("/usr", "/usr/bin/"), ("/usr/local", "/usr/local/bin/"), ("/opt/cc", "/opt/cc/bin/")] {
        let root = installed(prefix);
        let mut units = 0;
        for file in files(root.path()).into_keys().filter(|file| file.contains("systemd/")) {
            let text = fs::read_to_string(root.path().join(&file)).unwrap();
            for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=")) {
                assert_eq!(line, format!("{program}claude-comms daemon"), "{file}");
                units += 1;
            }
        }
        assert_eq!(units, 2);
    }
}

#[test]
fn what_is_installed_is_taken_away_again_except_what_somebody_wrote() {
    let root = installed("/usr/local");
    let config = root.path().join("etc/claude-comms/config.toml");
    fs::write(&config, "[daemon]\nlisten = \"none\"\n").unwrap();
    // An installation over another one leaves it, too.
    assert!(install(root.path(), "/usr/local", &[]).status.success());
    assert!(install(root.path(), "/usr/local", &["--uninstall"]).status.success());
    assert_eq!(files(root.path()).into_keys().collect::<Vec<_>>(), ["etc/claude-comms/config.toml"]);
    fs::copy(format!("{ROOT}/packaging/config.toml"), &config).unwrap();
    assert!(install(root.path(), "/usr/local", &["--uninstall"]).status.success());
    assert!(files(root.path()).is_empty());
    let left = Command::new("find").arg(root.path()).args(["-path", "*claude-comms*"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{left:?}");
}

#[test]
fn what_is_installed_is_for_everybody_whatever_the_mask_of_who_installs() {
    use std::os::unix::fs::PermissionsExt;

    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\""]).arg(format!("{ROOT}/packaging/install"));
    command.env("DESTDIR", root.path()).env("BINARY", format!("{ROOT}/packaging/install"));
    assert!(command.status().unwrap().success());
    for folder in ["etc/claude-comms", "usr/local/bin", "usr/local/share/doc/claude-comms/examples"] {
        let mode = fs::metadata(root.path().join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{folder}");
    }
}

#[test]
fn the_installation_says_what_it_cannot_do() {
    let root = tempfile::tempdir().unwrap();
    for (prefix, arguments, expected) in [
        ("usr", &[][..], "PREFIX must be absolute, not usr"),
        ("/usr", &["--remove"], "it knows only --uninstall, not --remove"),
    ] {
        let ran = install(root.path(), prefix, arguments);
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && said.contains(expected), "{said}");
    }
    assert!(files(root.path()).is_empty());
}

#[test]
fn maintainer_scripts_are_scripts_and_the_changelog_has_this_version() {
    for script in ["postinst", "prerm", "postrm"] {
        let checked = Command::new("sh").arg("-n").arg(format!("{ROOT}/packaging/debian/{script}")).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
    let changelog = fs::read_to_string(format!("{ROOT}/packaging/debian/changelog")).unwrap();
    let head = format!("claude-comms ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&head), "it begins with {:?}", changelog.lines().next());
}

/// The configuration with every setting and its default, switched off.
fn every_default() -> String {
    let mut text = "\
# The configuration of claude-comms for everybody on this machine; ~/.config/claude-comms/config.toml goes before it.
# Every setting is here with its default. See claude-comms.conf(5), and `claude-comms config check` after a change.
"
    .to_owned();
    for section in SECTIONS {
        let switch = if section.is_list() { "# " } else { "" };
        let many = if section.is_list() { "# There may be any number of these.\n" } else { "" };
        text += &format!("\n{many}{switch}{}\n", section.heading());
        for setting in settings().filter(|setting| setting.section.name == section.name) {
            let about = setting.row.about.replace('\n', " ");
            let default = match setting.default() {
                Some(value) => format!("{} = {value}", setting.row.name),
                None => format!("{} =", setting.row.name),
            };
            text += &format!("# {about}\n# Takes {}.\n# {default}\n", setting.expects());
        }
    }
    text
}

#[test]
fn the_configuration_that_is_installed_shows_every_default() {
    let path = format!("{ROOT}/packaging/config.toml");
    let text = every_default();
    if std::env::var_os("WRITE_PACKAGING_CONFIG").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "set WRITE_PACKAGING_CONFIG to have it written anew");
}

#[test]
fn the_configuration_that_is_installed_changes_nothing() {
    let load = |file: Option<&str>| {
        let system_file = file.map(|file| Path::new(ROOT).join(file));
        Config::load(&Sources { system_file, ..Sources::default() }, &Overrides::default()).unwrap()
    };
    let (with, without) = (load(Some("packaging/config.toml")), load(None));
    assert_eq!(with.config, without.config);
    assert!(with.warnings.is_empty() && with.ignored.is_empty());
}
