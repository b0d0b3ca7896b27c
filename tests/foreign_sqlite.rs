//! Other programs bring their own SQLite: an old one without full-text search (sql.js, where it is installed), and
//! Python's, while the store commits. What is missing on a machine is said and skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

use claude_comms::clock::Timestamp;
use claude_comms::model::id::{MessageId, ModuleName, ThreadId};
use claude_comms::model::message::{NewMessage, NewThread, Status};
use claude_comms::model::rows::{ChangeKind, Write};
use claude_comms::store::{Store, StoreError};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn open(path: &Path) -> Store {
    Store::open_for_writing(path, path.with_file_name("tasks"), Duration::from_secs(5)).unwrap().store
}

fn thread(id: &str) -> Write {
    let modules = vec![ModuleName::new("a"), ModuleName::new("b")];
    Write::InsertThread(NewThread { id: ThreadId::new(id), title: String::new(), modules, at: Timestamp::default() })
}

fn message(id: &str) -> Write {
    Write::InsertMessage(NewMessage {
        id: MessageId::new(id),
        thread_id: ThreadId::new("t"),
        module: ModuleName::new("a"),
        target: None,
        content: "geese".into(),
        kind: "question",
        status: Status::Pending,
        in_reply_to: None,
        task_id: None,
        metadata: None,
        at: Timestamp::default(),
    })
}

/// Commits, however long another program is in the way.
fn write(store: &mut Store, writes: &[Write]) {
    loop {
        match store.begin() {
            Ok(()) => break,
            Err(StoreError::Busy) => {}
            Err(error) => panic!("{error}"),
        }
    }
    store.apply(writes).unwrap();
    store.commit().unwrap();
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name)
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where sql.js 1.5.0 is: in the folder that CLAUDE_COMMS_NPM names.
fn sql_js() -> Result<PathBuf, String> {
    let folder = env::var_os("CLAUDE_COMMS_NPM").ok_or("CLAUDE_COMMS_NPM names no folder with sql.js")?;
    let folder = fs::canonicalize(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let found = [folder.join("node_modules/sql.js"), folder.join("sql.js")].into_iter().find(|path| path.is_dir());
    let found = found.ok_or_else(|| format!("there is no sql.js in {}", folder.display()))?;
    if runs("node") { Ok(found) } else { Err("node is not installed".to_owned()) }
}

#[test]
fn a_sqlite_without_full_text_search_can_write() {
    let package = match sql_js() {
        Ok(package) => package,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (directory.path().join("ours.db"), directory.path().join("theirs.db"));
    let mut store = open(&ours);
    write(&mut store, &[thread("t"), message("ours")]);
    store.begin().unwrap();
    while store.index_some().unwrap() {}
    let before = store.fold_all().unwrap();
    store.commit().unwrap();
    assert_eq!(store.checkpoint().unwrap(), 0);
    drop(store);
    // It runs in memory and knows no write-ahead log: two bytes of the header say that there is none.
    let mut bytes = fs::read(&ours).unwrap();
    bytes[18..20].copy_from_slice(&[1, 1]);
    fs::write(&ours, bytes).unwrap();

    let output = Command::new("node").arg(script("no_fts5.js")).arg(&package).args([&ours, &theirs]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.trim().ends_with("ok"), "{said}");
    println!("written by SQLite {said}");

    let mut store = open(&theirs);
    let page = store.changes_after(before).unwrap();
    let noted: Vec<_> = page.changes.iter().map(|change| (change.kind, change.message_id.as_str())).collect();
    use ChangeKind::{Delete, Insert, Update};
    let expected = [
        (Insert, "kept"),
        (Insert, "changed"),
        (Insert, "gone"),
        (Update, "ours"),
        (Update, "changed"),
        (Delete, "gone"),
        (Insert, "kept"),
    ];
    assert_eq!(noted.len(), expected.len(), "{noted:?}");
    assert!(expected.iter().all(|change| noted.contains(change)), "{noted:?}");
    store.begin().unwrap();
    while store.index_some().unwrap() {}
    store.commit().unwrap();
    let found = |store: &mut Store, word: &str| claude_comms::ports::Reader::search(store, word, 9).unwrap().len();
    assert_eq!((found(&mut store, "goose OR geese"), found(&mut store, "seven"), found(&mut store, "four")), (1, 1, 1));
}

#[test]
fn python_writes_while_the_store_commits() {
    const ROWS: usize = 150;
    if !runs("python3") {
        return println!("skipped: python3 is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messages.db");
    let mut store = open(&path);
    write(&mut store, &[thread("t")]);
    let mut writer = Command::new("python3");
    writer.arg(script("writer.py")).arg(&path).arg(ROWS.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = writer.spawn().unwrap();
    for number in 0..ROWS {
        write(&mut store, &[message(&format!("ours-{number}"))]);
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = store.changes_after(0).unwrap();
    assert!(!page.more);
    let of = |name: &str, kind: ChangeKind| {
        let ours =
            page.changes.iter().filter(|change| change.kind == kind && change.message_id.as_str().starts_with(name));
        ours.count()
    };
    assert_eq!((of("ours-", ChangeKind::Insert), of("ours-", ChangeKind::Update)), (ROWS, 0));
    assert_eq!((of("python-", ChangeKind::Insert), of("python-", ChangeKind::Update)), (ROWS, ROWS));
}
