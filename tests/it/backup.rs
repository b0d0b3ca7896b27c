//! Backups that are taken while everybody writes, and the way back; and a database that is shrunk meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use claude_comms::control::wire::{self, Request};
use claude_comms::control::{Client, ClientError};
use claude_comms::model::command::Code;
use claude_comms::thread::Joined;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, Foreign, Mount, spawn, wait_until};

const CLIENTS: usize = 3;
/// Messages that are acknowledged before the backup is begun.
const BEFORE: usize = 200;

/// Tells those who send that it is over, also when the test fails: they are waited for.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends messages until it is over, and notes what is acknowledged.
fn send_all_the_while(
    daemon: &Daemon,
    acknowledged: &Arc<Mutex<BTreeSet<String>>>,
    over: &Arc<AtomicBool>,
) -> Joined<()> {
    let (from, to, socket) = (daemon.path("frontend"), daemon.path("backend"), daemon.socket());
    let (acknowledged, over) = (Arc::clone(acknowledged), Arc::clone(over));
    Joined::spawn("sender", move || {
        let mut client = Client::connect(&socket).unwrap();
        while !over.load(Ordering::Relaxed) {
            let (from, to, content) = (from.clone(), to.clone(), "x".repeat(2000));
            let send = Request::MessageSend(wire::MessageSend { from, to, content, ..Default::default() });
            let answer: Value = match client.call(&send) {
                Ok(answer) => answer,
                // Nothing is promised then.
                Err(ClientError::Refused { code: Code::Busy, .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            acknowledged.lock().unwrap().insert(answer["message_id"].as_str().unwrap().to_owned());
        }
    })
    .unwrap()
}

fn messages_in(database: &Path) -> BTreeSet<String> {
    let rows = Foreign::open(database).sql("SELECT message_id FROM messages", json!([]));
    rows.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_backup_under_load_has_all_that_was_acknowledged_before_it_began() {
    let daemon = Daemon::start();
    let (acknowledged, over) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..CLIENTS).map(|_| send_all_the_while(&daemon, &acknowledged, &over)).collect();
    let over = Over(over);
    wait_until("messages", || acknowledged.lock().unwrap().len() >= BEFORE);
    let file = daemon.path("backup.db");
    let before = acknowledged.lock().unwrap().clone();
    let taken = daemon.json(&["backup", &file]);
    // It was under way while others were acknowledged.
    let meanwhile = acknowledged.lock().unwrap().len();
    wait_until("more messages", || acknowledged.lock().unwrap().len() > meanwhile);
    drop(over);
    assert!(senders.into_iter().all(|sender| sender.join().is_some()));
    assert_eq!(taken["epoch"], daemon.epoch);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(taken["bytes"], fs::metadata(&file).unwrap().len());

    let mut other = Daemon::none();
    let restored = other.json(&["restore", &file]);
    assert_eq!((&restored["kept"], &restored["messages"]), (&Value::Null, &taken["messages"]));
    assert_ne!(restored["epoch"], daemon.epoch, "who follows could not notice that numbers are given again");
    let mut foreign = other.foreign();
    foreign.integrity();
    drop(foreign);
    let found = messages_in(&other.database());
    let missing: Vec<_> = before.difference(&found).collect();
    assert!(missing.is_empty(), "{} of {} are missing", missing.len(), before.len());
    assert_eq!(taken["messages"], found.len());
    other.restart();
    let goes_on = other.status()["seq"].as_u64() >= taken["seq"].as_u64();
    assert!(goes_on, "the log goes on where the backup ends");
    assert_eq!(other.epoch, restored["epoch"].as_str().unwrap());
    other.run(&["message", "send", "--to", ".", "after"]).good();
}

/// A database that takes a while to copy.
fn with_ballast(daemon: &mut Daemon, bytes: u64) {
    daemon.restart();
    daemon.run(&["message", "send", "--to", ".", "kept"]).good();
    daemon.stop();
    let mut foreign = daemon.foreign();
    foreign.sql("CREATE TABLE ballast AS SELECT zeroblob(?) AS bytes", json!([bytes]));
}

#[test]
fn a_backup_that_is_killed_leaves_no_half_file_under_the_name() {
    let mut daemon = Daemon::none();
    with_ballast(&mut daemon, 64 << 20);
    daemon.restart();
    let file = daemon.path("backup.db");
    let partial = daemon.path("backup.db.partial");
    let mut killed_before_its_end = 0;
    for _ in 0..10 {
        let mut running = daemon.spawn(&["backup", &file]);
        wait_until("the copy", || fs::metadata(&partial).is_ok_and(|half| half.len() > 1 << 20) || running.has_ended());
        running.signal(Signal::KILL);
        drop(running.wait());
        if Path::new(&file).exists() {
            Foreign::open(Path::new(&file)).integrity();
            fs::remove_file(&file).unwrap();
        } else {
            assert!(Path::new(&partial).exists());
            killed_before_its_end += 1;
        }
    }
    assert!(killed_before_its_end > 0, "every copy was faster than its end");
    // What it has left is no obstacle.
    daemon.run(&["backup", &file]).good();
    assert!(!Path::new(&partial).exists());
    assert_eq!(messages_in(Path::new(&file)), messages_in(&daemon.database()));
    Foreign::open(Path::new(&file)).integrity();
}

#[test]
fn a_disk_that_gets_full_is_named_and_keeps_nothing() {
    let mut daemon = Daemon::none();
    let small = daemon.path("small");
    fs::create_dir(&small).unwrap();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"], Path::new(&small)) else {
        return;
    };
    with_ballast(&mut daemon, 20 << 20);
    let file = format!("{small}/backup.db");
    let said = daemon.run(&["backup", &file]).bad(1);
    assert!(said.contains(&file) && said.contains("the disk is full"), "{said}");
    assert_eq!(fs::read_dir(&small).unwrap().count(), 0);
}

#[test]
fn a_backup_replaces_nothing_unless_it_is_told_to() {
    let mut daemon = Daemon::none();
    let file = daemon.path("backup.db");
    let said = daemon.run(&["backup", &file]).bad(1);
    assert!(said.contains("there is no database at"), "{said}");
    daemon.restart();
    fs::write(&file, "precious").unwrap();
    let said = daemon.run(&["backup", &file]).bad(1);
    assert!(said.contains("exists already") && said.contains("--force"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    // Nor does it take the place of a file that the daemon has, or would make or read later.
    let own = daemon.database();
    let later = daemon.state_dir().join("config.toml");
    assert!(!later.exists());
    for own in [&own, &own.with_extension("db-journal"), &later] {
        let said = daemon.run(&["backup", "--force", own.to_str().unwrap()]).bad(2);
        assert!(said.contains("a file of the daemon's own"), "{said}");
    }
    daemon.run(&["backup", "--force", &daemon.path("frontend")]).bad(1);
    assert!(daemon.run(&["backup", "--force", &file]).good().contains("was written and checked"));
    Foreign::open(Path::new(&file)).integrity();
    // A file of another directory's daemon is no copy of this one's.
    let other = Daemon::none();
    let socket = daemon.socket();
    let mut command = other.command(&["backup", "--socket", socket.to_str().unwrap(), &other.path("b.db")]);
    assert!(spawn(&mut command, b"").wait().bad(2).contains("name that with --state-dir"));
}

#[test]
fn what_was_there_before_a_restore_is_kept() {
    let mut daemon = Daemon::start();
    let file = daemon.path("backup.db");
    let first = daemon.run(&["message", "send", "--to", ".", "first"]).good().trim().to_owned();
    daemon.run(&["backup", &file]).good();
    let second = daemon.run(&["message", "send", "--to", ".", "second"]).good().trim().to_owned();
    let epoch = daemon.epoch.clone();
    let said = daemon.run(&["restore", &file]).bad(1);
    assert!(said.contains(&format!("(process {})", daemon.pid())) && said.contains("poll stop"), "{said}");
    // A log that was not folded belongs to what is kept.
    daemon.kill9();
    let mut foreign = daemon.foreign();
    assert_eq!(foreign.sql("SELECT count(*) FROM messages", json!([])), json!([[2]]));
    let said = daemon.run(&["restore", &file]).bad(1);
    assert!(said.contains("another program has the database") && said.contains("fuser"), "{said}");
    assert_eq!(foreign.sql("SELECT count(*) FROM messages", json!([])), json!([[2]]));
    drop(foreign);
    let restored = daemon.json(&["restore", &file]);
    let kept = restored["kept"].as_str().unwrap().to_owned();
    assert!(kept.contains("claude-comms.db.before-restore-"), "{kept}");
    assert_eq!(messages_in(Path::new(&kept)), BTreeSet::from([first.clone(), second.clone()]));
    assert_eq!(messages_in(&daemon.database()), BTreeSet::from([first]));
    daemon.restart();
    assert_ne!(daemon.epoch, epoch);
    daemon.stop();
    // And back again.
    daemon.run(&["restore", &kept]).good();
    assert!(messages_in(&daemon.database()).contains(&second));
}

#[test]
fn what_is_no_backup_is_refused_and_changes_nothing() {
    let mut daemon = Daemon::none();
    daemon.restart();
    daemon.run(&["message", "send", "--to", ".", "kept"]).good();
    let good = daemon.path("good.db");
    daemon.run(&["backup", &good]).good();
    daemon.stop();
    let before = fs::read(daemon.database()).unwrap();
    let file = daemon.path("bad.db");
    let bytes = fs::read(&good).unwrap();
    let mut torn = bytes.clone();
    torn.truncate(bytes.len() / 2);
    let mut scribbled = bytes.clone();
    scribbled[4096 * 2..4096 * 6].fill(0xa5);
    for (content, expected) in [
        (&b""[..], "it is empty"),
        (b"no database, only words", "damaged"),
        (&torn, "damaged"),
        (&scribbled, "damaged"),
    ] {
        fs::write(&file, content).unwrap();
        let said = daemon.run(&["restore", &file]).bad(1);
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
    fs::remove_file(&file).unwrap();
    assert!(daemon.run(&["restore", &file]).bad(1).contains("cannot be read"));
    let own = daemon.database();
    assert!(daemon.run(&["restore", own.to_str().unwrap()]).bad(2).contains("is the database itself"));
    let mut foreign = Foreign::open(Path::new(&file));
    foreign.sql("CREATE TABLE t(x)", json!([]));
    drop(foreign);
    assert!(daemon.run(&["restore", &file]).bad(1).contains("holds nothing of claude-comms"));
    fs::write(&file, &bytes).unwrap();
    Foreign::open(Path::new(&file)).sql("PRAGMA user_version = 9999", json!([]));
    let said = daemon.run(&["restore", &file]).bad(1);
    assert!(said.contains("9999") && said.contains("newer claude-comms"), "{said}");
    assert!(fs::read(daemon.database()).unwrap() == before, "the database was changed");
    let entries = fs::read_dir(daemon.state_dir()).unwrap();
    let names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| !name.contains("partial") && !name.contains("before-restore")), "{names:?}");
}

#[test]
fn a_damaged_database_makes_room_for_its_backup() {
    let mut daemon = Daemon::none();
    daemon.restart();
    let id = daemon.run(&["message", "send", "--to", ".", "kept"]).good().trim().to_owned();
    let file = daemon.path("backup.db");
    daemon.run(&["backup", &file]).good();
    daemon.stop();
    let junk = b"this is no database, and it is long enough to be looked at\n".repeat(100);
    fs::write(daemon.database(), &junk).unwrap();
    let said = daemon.run(&["poll", "start", "--listen", "none"]).bad(1);
    assert!(said.contains("damaged") && said.contains("claude-comms restore FILE"), "{said}");
    let kept = daemon.json(&["restore", &file])["kept"].as_str().unwrap().to_owned();
    assert_eq!(fs::read(kept).unwrap(), junk);
    assert_eq!(messages_in(&daemon.database()), BTreeSet::from([id]));
    daemon.restart();
}

#[test]
fn a_database_is_shrunk_while_everybody_writes() {
    let mut daemon = Daemon::none();
    assert!(daemon.run(&["vacuum"]).bad(1).contains("there is no database at"));
    with_ballast(&mut daemon, 32 << 20);
    daemon.foreign().sql("DROP TABLE ballast", json!([]));
    daemon.restart();
    let (acknowledged, over) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..CLIENTS).map(|_| send_all_the_while(&daemon, &acknowledged, &over)).collect();
    let over = Over(over);
    wait_until("messages", || acknowledged.lock().unwrap().len() >= BEFORE);
    let shrunk = daemon.json(&["vacuum"]);
    let meanwhile = acknowledged.lock().unwrap().len();
    wait_until("more messages", || acknowledged.lock().unwrap().len() > meanwhile);
    drop(over);
    assert!(senders.into_iter().all(|sender| sender.join().is_some()));
    let bytes = |key: &str| shrunk[key].as_u64().unwrap();
    // What is left is what was sent, and not what had been there.
    let sent = (meanwhile + CLIENTS) as u64 * 8_000;
    assert!(bytes("bytes_before") > 32 << 20 && bytes("bytes_after") < (1 << 20) + sent, "{meanwhile}: {shrunk}");
    assert!(bytes("bytes_after") < bytes("bytes_before") - (4 << 20), "{meanwhile}: {shrunk}");
    wait_until("room on the disk", || fs::metadata(daemon.database()).unwrap().len() < bytes("bytes_before"));
    // The daemon goes on as if nothing had been.
    assert_eq!(daemon.status()["degraded"], Value::Null);
    let id = daemon.run(&["message", "send", "--to", ".", "a needle"]).good().trim().to_owned();
    let found = daemon.json(&["message", "search", "needle"]);
    assert_eq!(found["messages"][0]["message_id"], json!(id));
    daemon.stop();
    let found = messages_in(&daemon.database());
    assert!(acknowledged.lock().unwrap().iter().all(|id| found.contains(id)));
    daemon.foreign().integrity();
    assert!(daemon.run(&["vacuum"]).good().starts_with("the database has "));
}

#[test]
fn a_database_that_somebody_holds_is_left_as_it_is() {
    let daemon = Daemon::start();
    let mut foreign = daemon.foreign();
    foreign.sql("BEGIN IMMEDIATE", json!([]));
    let said = daemon.run(&["vacuum"]).bad(75);
    assert!(said.contains("was left as it is") && said.contains("another program"), "{said}");
    foreign.sql("ROLLBACK", json!([]));
    daemon.run(&["vacuum"]).good();
}
