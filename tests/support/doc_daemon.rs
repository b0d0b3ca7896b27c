// A daemon within the process, for the examples of the documentation: its agent answers with the question.
{
    use claude_comms::{config, daemon, service, thread};
    let dir = tempfile::tempdir().unwrap();
    let state_dir = dir.path().to_owned();
    let options = service::PathOptions { state_dir: Some(state_dir.clone()), ..Default::default() };
    let paths = service::Paths::resolve(&options, &|_| None).unwrap();
    let socket = paths.socket.clone();
    let running = thread::Joined::spawn("daemon", move || {
        let mut loaded = config::Config::load(&config::Sources::default(), &config::Overrides::default()).unwrap();
        loaded.config.executor.command = ["sh", "-c", "echo The answer to; cat"].map(String::from).to_vec();
        let reload = Box::new(|| Err("it is not read again here".to_owned()));
        daemon::run(daemon::Setup { loaded, paths, reload, reporter: None }).map_err(|(error, _)| error)
    })
    .unwrap();
    while claude_comms::control::Client::connect(&socket).is_err() {
        assert!(!running.is_finished());
        std::thread::yield_now();
    }
    (dir, state_dir, running)
}
