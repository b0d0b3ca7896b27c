use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Resolves with that environment and nothing else; `custom` as on that platform.
fn resolve_with(custom: Custom, options: &PathOptions, variables: &[(&str, &str)]) -> Result<Paths, PathsError> {
    let env = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value));
    resolve(options, &Surroundings { env: &env, custom })
}

fn xdg(variables: &[(&str, &str)]) -> Paths {
    resolve_with(Custom::Xdg, &PathOptions::default(), variables).unwrap()
}

#[test]
fn a_given_state_directory_holds_everything() {
    let options = PathOptions { state_dir: Some("/s".into()), ..PathOptions::default() };
    let systemd = [("STATE_DIRECTORY", "/x"), ("RUNTIME_DIRECTORY", "/y"), ("LOGS_DIRECTORY", "/z")];
    let xdg = [("HOME", "/home/me"), ("XDG_RUNTIME_DIR", "/run/user/7"), ("CLAUDE_COMMS_STATE_DIR", "/s")];
    let by_flag = resolve_with(Custom::Xdg, &options, &systemd).unwrap();
    let by_variable = resolve_with(Custom::Apple, &PathOptions::default(), &xdg).unwrap();
    assert_eq!(by_flag, by_variable);
    assert_eq!(by_flag.state_dir, Path::new("/s"));
    assert_eq!(by_flag.database, Path::new("/s/claude-comms.db"));
    assert_eq!(by_flag.socket, Path::new("/s/control.sock"));
    assert_eq!(by_flag.lock, Path::new("/s/daemon.lock"));
    assert_eq!(by_flag.log, Path::new("/s/daemon.log"));
    assert_eq!(by_flag.token, Path::new("/s/token"));
    assert_eq!(by_flag.tasks, Path::new("/s/tasks"));
    assert_eq!(by_flag.config_file.as_deref(), Some(Path::new("/s/config.toml")));
    assert_eq!((by_flag.system_config, by_flag.config_required), (None, false));
}

#[test]
fn flags_win_over_variables() {
    let options = PathOptions {
        state_dir: Some("/flag".into()),
        socket: Some("/flag.sock".into()),
        config: Some("/flag.toml".into()),
    };
    let variables = [
        ("CLAUDE_COMMS_STATE_DIR", "/variable"),
        ("CLAUDE_COMMS_SOCKET", "/variable.sock"),
        ("CLAUDE_COMMS_CONFIG", "/variable.toml"),
    ];
    let paths = resolve_with(Custom::Xdg, &options, &variables).unwrap();
    assert_eq!(paths.state_dir, Path::new("/flag"));
    assert_eq!(paths.socket, Path::new("/flag.sock"));
    assert_eq!(paths.config_file.as_deref(), Some(Path::new("/flag.toml")));
    assert!(paths.config_required);
    let paths = resolve_with(Custom::Xdg, &PathOptions::default(), &variables).unwrap();
    assert_eq!(paths.socket, Path::new("/variable.sock"));
}

#[test]
fn relative_paths_are_made_absolute() {
    let options = PathOptions { state_dir: Some("s".into()), ..PathOptions::default() };
    let paths = resolve_with(Custom::Xdg, &options, &[("CLAUDE_COMMS_SOCKET", "x/c.sock")]).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(paths.database, here.join("s/claude-comms.db"));
    assert_eq!(paths.socket, here.join("x/c.sock"));
}

#[test]
fn systemd_directories_come_before_those_of_the_user() {
    let paths = xdg(&[
        ("STATE_DIRECTORY", "/var/lib/claude-comms:/var/lib/other"),
        ("RUNTIME_DIRECTORY", "/run/claude-comms"),
        ("LOGS_DIRECTORY", "/var/log/claude-comms"),
        ("CONFIGURATION_DIRECTORY", "/etc/claude-comms"),
        ("HOME", "/home/me"),
        ("XDG_RUNTIME_DIR", "/run/user/7"),
    ]);
    assert_eq!(paths.database, Path::new("/var/lib/claude-comms/claude-comms.db"));
    assert_eq!(paths.socket, Path::new("/run/claude-comms/control.sock"));
    assert_eq!(paths.log, Path::new("/var/log/claude-comms/daemon.log"));
    assert_eq!(paths.config_file, paths.system_config);
}

#[test]
fn a_user_has_files_where_the_platform_keeps_them() {
    let home = ("HOME", "/home/me");
    let paths = xdg(&[home]);
    assert_eq!(paths.database, Path::new("/home/me/.local/state/claude-comms/claude-comms.db"));
    assert_eq!(paths.socket, Path::new("/home/me/.local/state/claude-comms/control.sock"));
    assert_eq!(paths.config_file.as_deref(), Some(Path::new("/home/me/.config/claude-comms/config.toml")));
    assert_eq!(paths.system_config.as_deref(), Some(Path::new(SYSTEM_CONFIG)));

    let paths = xdg(&[home, ("XDG_STATE_HOME", "/st"), ("XDG_CONFIG_HOME", "/co"), ("XDG_RUNTIME_DIR", "/ru")]);
    assert_eq!(paths.state_dir, Path::new("/st/claude-comms"));
    assert_eq!(paths.socket, Path::new("/ru/claude-comms/control.sock"));
    assert_eq!(paths.config_file.as_deref(), Some(Path::new("/co/claude-comms/config.toml")));

    // Relative and empty ones count as not set.
    assert_eq!(xdg(&[home, ("XDG_STATE_HOME", "st"), ("XDG_RUNTIME_DIR", "")]), xdg(&[home]));

    let mac = resolve_with(Custom::Apple, &PathOptions::default(), &[home, ("XDG_RUNTIME_DIR", "/ru")]).unwrap();
    assert_eq!(mac.socket, Path::new("/home/me/Library/Application Support/claude-comms/control.sock"));
}

#[test]
fn a_socket_path_that_the_system_would_cut_is_refused() {
    let longest = format!("/{}", "x".repeat(SOCKET_BYTES_MAX - 1));
    let options = |socket: String| PathOptions { socket: Some(socket.into()), ..PathOptions::default() };
    let home = [("HOME", "/h")];
    assert!(resolve_with(Custom::Xdg, &options(longest.clone()), &home).is_ok());
    let error = resolve_with(Custom::Xdg, &options(longest + "x"), &home).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("--socket") && told.contains("CLAUDE_COMMS_SOCKET"), "{told}");
}

fn modes(paths: &Paths) -> Vec<u32> {
    let socket_dir = paths.socket.parent().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    [&paths.state_dir, &paths.tasks, socket_dir].map(mode).to_vec()
}

#[test]
fn prepared_directories_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let below = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    fs::create_dir(below("run")).unwrap();
    let paths = xdg(&[("HOME", &below("home")), ("XDG_RUNTIME_DIR", &below("run"))]);
    paths.prepare().unwrap();
    assert_eq!(modes(&paths), [0o700; 3]);
    fs::set_permissions(&paths.state_dir, fs::Permissions::from_mode(0o755)).unwrap();
    paths.prepare().unwrap();
    assert_eq!(modes(&paths), [0o700; 3]);
    assert!(!paths.database.exists());
}

#[test]
fn the_directory_of_a_chosen_socket_is_made_but_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("shared");
    let options =
        PathOptions { state_dir: Some(dir.path().join("state")), socket: Some(shared.join("c.sock")), config: None };
    let paths = resolve_with(Custom::Xdg, &options, &[]).unwrap();
    paths.prepare().unwrap();
    assert_eq!(modes(&paths), [0o700; 3]);
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    paths.prepare().unwrap();
    assert_eq!(modes(&paths), [0o700, 0o700, 0o755]);
}

#[test]
fn a_chosen_socket_leaves_the_runtime_directory_alone() {
    let dir = tempfile::tempdir().unwrap();
    let options = PathOptions { socket: Some(dir.path().join("c.sock")), ..PathOptions::default() };
    let home = dir.path().join("home").to_string_lossy().into_owned();
    let variables = [("HOME", home.as_str()), ("XDG_RUNTIME_DIR", "/does/not/exist")];
    resolve_with(Custom::Xdg, &options, &variables).unwrap().prepare().unwrap();
}
