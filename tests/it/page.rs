//! The page at `/`, in a real browser.

use std::env;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::support::{Daemon, Running};
use crate::web::{address, start};

const AGENT: &str = "[executor]\ncommand = [\"sh\", \"-c\", \"cat\"]\nkill_grace_seconds = 0.3\n";
/// The most that the picture in the README may have.
const PICTURE_BYTES_MAX: usize = 200 << 10;

/// What stands in the elements that a selector finds.
fn texts(selector: &str) -> String {
    format!("[...document.querySelectorAll({})].map(found => found.innerText)", json!(selector))
}

fn has(selector: &str, text: &str) -> String {
    format!("{}.some(text => text.includes({}))", texts(selector), json!(text))
}

fn click(selector: &str) -> String {
    format!("document.querySelector({}).click()", json!(selector))
}

fn type_into(id: &str, text: &str) -> String {
    format!(
        "{{const field = document.getElementById({}); field.value = {}; field.dispatchEvent(new Event('input'))}}",
        json!(id),
        json!(text)
    )
}

#[test]
fn what_happens_is_seen_filtered_and_held() {
    let Some(mut browser) = Browser::start() else { return };
    let (daemon, address) = start(AGENT);
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    browser.go(&format!("http://{address}/"));
    browser.until("document.getElementById('connection').innerText.includes('connected')");
    browser.until(&has(".pool", "echo"));
    daemon.run(&["pool", "run", "echo", "secret"]).good();
    browser.until(&has("#history tbody tr", "task.completed"));
    browser.until(&has("#tasks tbody tr", "completed"));
    browser.until(&has(".pool", "1 completed"));
    assert_eq!(browser.run("document.documentElement.outerHTML.includes('secret')"), false);

    daemon
        .run(&["event", "publish", "notes:mine", "note.taken", r#"{"text":"<b>bold</b>","severity":"warning"}"#])
        .good();
    browser.until(&has("#history tbody tr", "<b>bold</b>"));
    browser.run(&type_into("filter-text", "BOLD"));
    browser.until("document.querySelectorAll('#history tbody tr').length === 1");
    browser.run(&type_into("filter-text", ""));
    browser.run(&type_into("filter-channel", "pool:*"));
    browser.until(&format!("!{}", has("#history tbody tr", "note.taken")));
    // A whole channel is that one, and not one whose name goes on.
    browser.run(&type_into("filter-channel", "notes:min"));
    browser.until("document.querySelectorAll('#history tbody tr').length === 0");
    for channel in ["notes:mine", "notes", "notes:", "notes:m*"] {
        browser.run(&type_into("filter-channel", channel));
        browser.until("document.querySelectorAll('#history tbody tr').length === 1");
    }
    browser.run(&type_into("filter-channel", ""));
    browser.run(&type_into("filter-severity", "warning"));
    browser.until(&has("#history tbody tr", "note.taken"));
    browser.until("document.querySelectorAll('#history tbody tr').length === 1");
    browser.run(&type_into("filter-severity", ""));
    browser.run(&click("#pause"));
    daemon.run(&["event", "publish", "notes:mine", "note.paused"]).good();
    browser.until("state.held.some(row => row.event === 'note.paused')");
    browser.until(&has("#shown", "more since the pause"));
    assert_eq!(browser.run(&has("#history tbody tr", "note.paused")), false);
    browser.run(&click("#pause"));
    browser.until(&has("#history tbody tr", "note.paused"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let asked = browser.addresses();
    assert!(asked.iter().all(|url| url.contains(&format!("//{address}/")) || url == "data:,"), "{asked:?}");
}

/// The next request of that name is refused, as by a daemon that is busy.
fn refuse_next(request: &str) -> String {
    format!(
        "{{ const real = ask; ask = (event, data, then) => {{ if (event !== '{request}') return real(event, data, then); \
         ask = real; then({{ type: 'error', error_message: 'too much at once' }}); return true; }}; }}"
    )
}

#[test]
fn what_is_refused_once_is_asked_for_again() {
    let Some(mut browser) = Browser::start() else { return };
    let (daemon, address) = start(AGENT);
    browser.go(&format!("http://{address}/"));
    browser.until("document.body.classList.contains('live')");
    browser.run(&format!("{} state.phase = 'connecting'; follow(state)", refuse_next("subscribe")));
    browser.until(&has("#notice", "too much at once"));
    browser.until("document.body.classList.contains('live') && document.getElementById('notice').hidden");
    browser.run(&refuse_next("list_pools"));
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    browser.until(&has(".pool", "echo"));
    browser.until("document.getElementById('notice').hidden");
}

#[test]
fn a_daemon_that_cannot_write_is_shown_as_such() {
    let Some(mut browser) = Browser::start() else { return };
    let (_daemon, address) = start(AGENT);
    browser.go(&format!("http://{address}/"));
    browser.until("document.body.classList.contains('live') && state.healthAt > 0");
    assert_eq!(browser.run("document.getElementById('degraded').hidden"), true);
    for (answer, shown) in [("'the disk is full'", true), ("null", false)] {
        browser.run(&format!(
            "fetch = async () => ({{ json: async () => ({{ degraded: {answer} }}) }}); state.healthAt = 0"
        ));
        browser.until(&format!("{} === {shown}", has("#degraded", "the disk is full")));
    }
}

#[test]
fn messages_that_have_ended_are_shown_for_a_while() {
    let Some(mut browser) = Browser::start() else { return };
    let (_daemon, address) = start(AGENT);
    browser.go(&format!("http://{address}/"));
    browser.until("state.loaded.has('messages')");
    let row = |id: &str, ended: &str| {
        format!(
            "{{ message_id: '{id}', status: 'completed', timestamp: new Date().toISOString(), content_length: 1, endedAt: {ended} }}"
        )
    };
    let (old, new) = (row("old", "Date.now() - 61000"), row("new", "Date.now()"));
    browser.run(&format!("state.messages = [{old}, {new}]; changed()"));
    browser.until("state.messages.length === 1");
    browser.until(&format!("{} && !{}", has("#messages tbody tr", "new"), has("#messages tbody tr", "old")));
}

#[test]
fn on_a_narrow_screen_what_an_event_says_can_be_read() {
    let Some(mut browser) = Browser::start() else { return };
    let (daemon, address) = start(AGENT);
    browser.go(&format!("http://{address}/"));
    browser.until("document.body.classList.contains('live')");
    daemon.run(&["event", "publish", "notes:mine", "note.taken", r#"{"text":"some words and more"}"#]).good();
    browser.until(&has("#history tbody tr", "note.taken"));
    browser.picture("light", 400, 800);
    let width = browser.run("document.querySelector('#history td.long').getBoundingClientRect().width");
    assert!(width.as_f64().unwrap() > 200.0, "{width}");
}

#[test]
fn whatever_ends_the_daemon_the_page_comes_back_by_itself() {
    let Some(mut browser) = Browser::start() else { return };
    let (mut daemon, address) = start(AGENT);
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    daemon.run(&["pool", "run", "echo", "once"]).good();
    browser.go(&format!("http://{address}/"));
    browser.until(&has(".pool", "1 completed"));
    daemon.kill9();
    browser.until("document.getElementById('since').innerText.includes('reconnecting')");
    browser.until(&has("#pools h2", "as of "));
    keep(&mut browser, "away", "light", 1280);
    daemon.listen_at(&address);
    daemon.restart();
    daemon.run(&["pool", "run", "echo", "again"]).good();
    browser.until("document.body.classList.contains('live')");
    browser.until(&has(".pool", "2 completed"));
    let completed = format!("{}.filter(text => text.includes('task.completed')).length", texts("#history tbody tr"));
    browser.until(&format!("{completed} === 2"));

    // In order this time, and then nothing is as it was.
    daemon.stop();
    browser.until("document.getElementById('since').innerText.includes('reconnecting')");
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", daemon.database().display()));
    }
    daemon.restart();
    browser.until(&has("#history tbody tr", "what happened meanwhile is not known"));
    browser.until(&format!("!{} && {}", has(".pool", "echo"), has(".pool", "local")));
    browser.until(&has("#tasks", "none"));
    let odd: Vec<String> = browser.complaints();
    let is_of_the_end = |text: &String| text.contains("WebSocket connection to") || text.contains("/healthz");
    assert!(odd.iter().all(is_of_the_end), "{odd:?}");
}

#[test]
fn contents_and_acts_need_the_token() {
    let Some(mut browser) = Browser::start() else { return };
    let (daemon, address) = start(AGENT);
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    daemon.run(&["pool", "pause", "echo"]).good();
    let task = daemon.json(&["pool", "run", "echo", "secret prompt", "--no-wait"])["task_id"].clone();
    daemon.run(&["message", "send", "--from", ".", "--to", &daemon.path("backend"), "<i>secret</i>"]).good();
    let url = format!("http://{address}/");
    browser.go(&url);
    browser.until(&has("#messages tbody tr", "backend"));
    browser.until(&has("#tasks tbody tr", "pending"));
    assert_eq!(browser.run("document.querySelectorAll('td button, .pool button').length"), 0);
    assert_eq!(browser.run(&has("#rights", "claude-comms config token --url")), true);

    browser.open_tab();
    let ready = daemon.run(&["config", "token", "--url"]).good();
    assert!(ready.starts_with(&format!("{url}#token=")), "{ready}");
    browser.go(ready.trim());
    browser.until(&has("#messages tbody tr button", "Show"));
    assert_eq!(browser.run("location.hash"), "");
    browser.run(&click("#messages tbody button"));
    browser.until(&has("#shown-content", "<i>secret</i>"));
    browser.run(&click("#dialog button"));
    browser.run(&click("#tasks button[data-act=cancel]"));
    browser.until(&has("#dialog", "Cancel this task?"));
    keep(&mut browser, "confirm", "dark", 1280);
    assert_eq!(daemon.json(&["task", "show", task.as_str().unwrap()])["status"], "pending");
    browser.run(&click("#confirm"));
    browser.until(&has("#tasks tbody tr", "cancelled"));
    browser.run(&click("#tasks button[data-act=retry]"));
    browser.until(&has("#tasks tbody tr", "pending"));
    browser.run(&click(".pool button[data-act=toggle]"));
    browser.until(&has("#tasks tbody tr", "completed"));
    browser.run(&click("#tasks button[data-act=show]"));
    browser.until(&has("#shown-result", "secret prompt"));
    // It is kept for this tab alone, and given up when it is wrong.
    browser.go(&url);
    browser.until(&has("#rights", "actions"));
    browser.go(&format!("{url}#token=wrong"));
    browser.until(&has("#notice", "the token is wrong"));
    browser.until("document.querySelectorAll('td button').length === 0");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn pages_of_others_cannot_use_the_port() {
    let Some(mut browser) = Browser::start() else { return };
    let (daemon, address) = start("");
    let (_other, elsewhere) = start("");
    let open = |address: &str| {
        format!(
            "new Promise(done => {{ const socket = new WebSocket('ws://{address}/'); \
             socket.onopen = () => done('open'); socket.onerror = () => done('refused'); }})"
        )
    };
    browser.go(&format!("http://{address}/"));
    assert_eq!(browser.run(&open(&address)), "open");
    // Its own policy forbids it already; without one it is the Origin that counts.
    browser.go(&format!("http://{elsewhere}/"));
    assert_eq!(browser.run(&format!("try {{ {} }} catch {{ 'refused' }}", open(&address))), "refused");
    browser.call("Page.setBypassCSP", json!({"enabled": true}));
    browser.go(&format!("http://{elsewhere}/?"));
    assert_eq!(browser.run(&open(&elsewhere)), "open");
    assert_eq!(browser.run(&open(&address)), "refused");
    browser.go("data:text/html,<p>nowhere");
    assert_eq!(browser.run(&open(&address)), "refused");

    let port = address.rsplit(':').next().unwrap();
    browser.go(&format!("http://evil.test:{port}/"));
    browser.until("document.body.innerText.includes('this is no name of this machine')");
    assert_eq!(browser.run(&open(&format!("evil.test:{port}"))), "refused");
    daemon.run(&["poll", "status"]).good();
}

/// For whoever wants to see what the test saw.
fn keep(browser: &mut Browser, name: &str, scheme: &str, width: u32) {
    let picture = browser.picture(scheme, width, 1000);
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png")), &picture).unwrap();
}

/// Something of everything that the page shows.
fn busy_day(daemon: &Daemon) -> Running {
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    daemon.run(&["pool", "create", "review", "--", "sh", "-c", "{prompt}"]).good();
    daemon.run_with_input(&["pool", "batch", "echo"], b"one\ntwo\nthree\n").good();
    daemon.run(&["pool", "run", "review", "exit 3"]).bad(1);
    for _ in 0..2 {
        daemon.run(&["pool", "run", "review", "sleep 60", "--no-wait"]).good();
    }
    let backend = daemon.path("backend");
    daemon.run(&["message", "send", "--from", ".", "--to", &backend, "Which port?"]).good();
    daemon.run(&["ask", "--to", &backend, "What is the name of the table?"]).good();
    daemon.run(&["upstream", "add", "sessions", "http://127.0.0.1:9/mcp", "--max-retries", "1"]).good();
    daemon.run(&["upstream", "poll", "sessions"]);
    let file = daemon.path("release.toml");
    let flow = "name = 'release'\npool = 'review'\n[[stage]]\nname = 'build'\ntask = [{name = 'a', prompt = 'true'}]\n\
                [[stage]]\nname = 'test'\ntask = [{name = 'b', prompt = 'sleep 60'}]\n\
                [[stage]]\nname = 'publish'\ntask = [{name = 'c', prompt = 'true'}]\n";
    fs::write(&file, flow).unwrap();
    daemon.spawn(&["workflow", "run", &file])
}

/// Raised as soon as something waits there.
const BEHIND: &str = "[[alert]]\nname = \"review-is-behind\"\nmetric = \"claude_comms_pool_queue_size\"\n\
                      labels = { pool = \"review\" }\nabove = 0\n";

/// Also makes the picture in the README, in the file that CLAUDE_COMMS_PICTURE names.
#[test]
fn it_can_be_looked_at() {
    let Some(mut browser) = Browser::start() else { return };
    let (daemon, address) = start(&format!("{AGENT}{BEHIND}"));
    let _workflow = busy_day(&daemon);
    browser.go(daemon.run(&["config", "token", "--url"]).good().trim());
    browser.until(&has("#workflows tbody tr", "1/3"));
    browser.until(&has("#alerts tbody tr", "review-is-behind"));
    browser.until(&has("#upstreams tbody tr", "unhealthy"));
    browser.until(&has("#messages tbody tr", "backend"));
    for (name, scheme, width) in [("light", "light", 1280), ("dark", "dark", 1280), ("narrow", "light", 400)] {
        keep(&mut browser, name, scheme, width);
        // Nothing sticks out to the side.
        let wide = browser.run("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(wide, 0, "{name}");
    }
    let picture = browser.picture("light", 1240, 880);
    assert!(picture.len() < PICTURE_BYTES_MAX, "{} bytes", picture.len());
    if let Some(file) = env::var_os("CLAUDE_COMMS_PICTURE") {
        fs::write(file, &picture).unwrap();
    }
    let accessible: Value = browser.run(
        "[...document.querySelectorAll('button, input, select, table, section, [role=region]')]
           .filter(found => !(found.labels?.length || found.innerText.trim() || found.getAttribute('aria-label')))
           .map(found => found.outerHTML)",
    );
    assert_eq!(accessible, json!([]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(self::address(&daemon), address);
}
