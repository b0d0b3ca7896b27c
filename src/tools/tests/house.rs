//! A hub, a store, and whoever takes the steps of an order.

use super::{complete, object, schema};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::control::wire::Request;
use crate::control::{Defaults, Meaning, Translator};
use crate::feed::encode;
use crate::mcp::server::{After, Offer, Order, Outcome, Progress, Step};
use crate::model::command::{Command, Refusal, Reply, Written};
use crate::model::hub::{Cancel, Effects, Hub, HubSettings, Input, PollerOrder, Run};
use crate::model::id::{AskId, PoolId, UpstreamName};
use crate::model::task::{Ending, Report, TaskResult};
use crate::store::Store;
use crate::tools::Toolbox;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

type Answer = Result<Reply, Refusal>;

pub(super) struct House {
    hub: Hub,
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    pub(super) toolbox: Toolbox,
    translator: Translator,
    answers: HashMap<AskId, Answer>,
    next_ask: u64,
    /// Attempts that have begun and not ended, in order.
    pub(super) runs: Vec<Run>,
    pub(super) cancels: Vec<Cancel>,
    pub(super) orders: Vec<(UpstreamName, PollerOrder)>,
    pub(super) directory: TempDir,
}

/// An order that is being carried out.
pub(super) struct Calling {
    waiting: Option<(AskId, After<Answer>)>,
    abort: Vec<Command>,
    pub(super) told: Vec<Progress>,
    outcome: Option<Outcome>,
}

impl Calling {
    pub(super) fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    pub(super) fn outcome(self) -> Outcome {
        self.outcome.expect("it should be over")
    }
}

impl House {
    /// With the pool `local`, whose tasks end when a test says so.
    pub(super) fn new() -> House {
        let mut house = House::empty();
        house.answer("create_pool", json!({"pool_id": "local", "executor": "echo"}));
        house
    }

    fn empty() -> House {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("messages.db");
        let store =
            Store::open_for_writing(&path, directory.path().join("tasks"), Duration::from_secs(5)).unwrap().store;
        let clock = ManualClock::new();
        clock.set_wall(Timestamp::from_unix_seconds(1_800_000_000.0));
        let defaults = Defaults {
            ask_timeout: Duration::from_secs(600),
            watch_timeout: Duration::from_secs(3600),
            task_timeout: Duration::from_secs(1800),
            queue_max: 5,
            pool: PoolId::new("local"),
        };
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let hub = Hub::new(HubSettings {
            watches_max: 100,
            watch_timeout: defaults.watch_timeout,
            stuck_after: Duration::from_secs(300),
            try_pause: Duration::from_secs(60),
            on_crash: None,
        });
        House {
            hub,
            store,
            clock,
            toolbox: Toolbox::new(defaults.clone(), Arc::clone(&shared)),
            translator: Translator::new(defaults, shared),
            answers: HashMap::new(),
            next_ask: 1,
            runs: Vec::new(),
            cancels: Vec::new(),
            orders: Vec::new(),
            directory,
        }
    }

    /// Steps a batch as the daemon does.
    pub(super) fn batch(&mut self, inputs: Vec<Input>) {
        let now = self.clock.now();
        let mut out = Effects::default();
        self.store.begin().unwrap();
        let folded = self.store.changes_folded().unwrap();
        let changes = self.store.changes_after(folded).unwrap().changes;
        for input in std::iter::once(Input::Changes(changes)).chain(inputs) {
            self.hub.step(now, input, &mut self.store, &mut out).unwrap();
            self.store.apply(&std::mem::take(&mut out.writes)).unwrap();
        }
        self.hub.due(now, &mut self.store, &mut out).unwrap();
        self.store.apply(&std::mem::take(&mut out.writes)).unwrap();
        self.hub.settle(now, &mut self.store, &mut out).unwrap();
        self.hub.due(now, &mut self.store, &mut out).unwrap();
        self.store.apply(&std::mem::take(&mut out.writes)).unwrap();
        self.store.fold_all().unwrap();
        let events: Vec<_> = out.events.iter().map(encode).collect();
        self.store.append_events(now.wall, &events).unwrap();
        self.store.commit().unwrap();
        self.hub.committed();
        self.answers.extend(out.replies);
        self.runs.extend(out.runs);
        self.cancels.extend(out.cancels);
        self.orders.extend(out.pollers);
        let staffed = |(pool, ask)| Input::Staffed { pool, ask, outcome: Ok(()) };
        let staff: Vec<Input> = out.staff.into_iter().map(staffed).collect();
        if !staff.is_empty() {
            self.batch(staff);
        }
    }

    pub(super) fn pass(&mut self, wait: Duration) {
        self.clock.advance(wait);
        self.batch(Vec::new());
    }

    fn ask(&mut self, command: Command) -> AskId {
        let ask = AskId(self.next_ask);
        self.next_ask += 1;
        self.batch(vec![Input::Ask { ask, command }]);
        ask
    }

    /// Has something done that no tool does.
    pub(super) fn control(&mut self, request: &Request) -> Value {
        let Ok(Meaning::Command(command)) = self.translator.meaning(request, None) else { panic!("{request:?}") };
        let ask = self.ask(*command);
        let reply = self.answers.remove(&ask).expect("an answer").expect("no refusal");
        serde_json::from_str(self.translator.shown(reply).unwrap_or_default().get()).unwrap()
    }

    pub(super) fn begin(&mut self, order: Order) -> Calling {
        let step = self.toolbox.begin(order);
        let mut calling = Calling { waiting: None, abort: Vec::new(), told: Vec::new(), outcome: None };
        self.take(&mut calling, step);
        calling
    }

    pub(super) fn call(&mut self, tool: &str, arguments: Value) -> Calling {
        self.call_with(tool, arguments, false)
    }

    pub(super) fn call_with(&mut self, tool: &str, arguments: Value, as_task: bool) -> Calling {
        let found = self.toolbox.tools().iter().find(|it| it.name == tool);
        let tool = found.unwrap_or_else(|| panic!("there is no tool {tool}")).name;
        self.begin(Order::Call { tool, arguments: object(arguments), as_task })
    }

    /// Takes steps until there is nothing to be done but to wait.
    fn take(&mut self, calling: &mut Calling, first: Step) {
        let mut step = first;
        loop {
            step = match step {
                Step::Done(outcome) => {
                    calling.outcome = Some(outcome);
                    return;
                }
                Step::Ask(question) => {
                    let ask = self.ask(question.command);
                    calling.abort = question.abort;
                    match self.answers.remove(&ask) {
                        Some(answer) => (question.then)(answer),
                        None => {
                            calling.waiting = Some((ask, question.then));
                            return;
                        }
                    }
                }
                Step::Look(look) => look(&mut self.reader()),
                Step::Tell { progress, then } => {
                    calling.told.push(progress);
                    then(())
                }
                Step::Pause { .. } => panic!("nothing here waits for the time alone"),
            }
        }
    }

    /// Goes on as far as answers have come.
    pub(super) fn go_on(&mut self, calling: &mut Calling) {
        let Some((ask, _)) = &calling.waiting else { return };
        if let Some(answer) = self.answers.remove(ask)
            && let Some((_, then)) = calling.waiting.take()
        {
            self.take(calling, then(answer));
        }
    }

    /// The client has given up: what would abort the question is asked.
    pub(super) fn give_up(&mut self, calling: &mut Calling) {
        let (ask, _) = calling.waiting.take().expect("it should wait");
        self.batch(vec![Input::Forget(ask)]);
        for command in std::mem::take(&mut calling.abort) {
            self.ask(command);
        }
    }

    pub(super) fn reader(&self) -> Store {
        Store::open_for_reading(self.store.path(), self.directory.path().join("tasks")).unwrap()
    }

    /// What a call comes to that need not wait.
    pub(super) fn outcome(&mut self, tool: &str, arguments: Value) -> Outcome {
        let calling = self.call(tool, arguments);
        assert!(calling.is_over(), "{tool} waits");
        calling.outcome()
    }

    /// What a tool answers, which is as its schema says.
    pub(super) fn answer(&mut self, tool: &str, arguments: Value) -> Value {
        let outcome = self.outcome(tool, arguments);
        self.answered(tool, &outcome)
    }

    pub(super) fn answered(&self, tool: &str, outcome: &Outcome) -> Value {
        let result = complete(outcome);
        assert!(result.get("isError").is_none(), "{tool} failed: {result}");
        let structured = result["structuredContent"].clone();
        assert_eq!(super::said(outcome), structured, "the text of {tool} says something else");
        let tool = self.toolbox.tools().iter().find(|it| it.name == tool).unwrap();
        let complaints = schema::complaints(tool.output.as_ref().unwrap(), &structured);
        assert!(complaints.is_empty(), "{}: {complaints:?}\n{structured:#}", tool.name);
        assert_eq!(structured["success"], true);
        structured
    }

    /// Ends the attempt that began first.
    pub(super) fn end_first(&mut self, ending: Ending, text: &str) {
        let run = self.runs.remove(0);
        self.end(&run, ending, text);
    }

    pub(super) fn end(&mut self, run: &Run, ending: Ending, text: &str) {
        self.end_with(run, ending, text, false);
    }

    /// With a result of which there is more in the log.
    pub(super) fn end_cut(&mut self, run: &Run, text: &str) {
        self.end_with(run, Ending::Succeeded, text, true);
    }

    fn end_with(&mut self, run: &Run, ending: Ending, text: &str, truncated: bool) {
        let succeeded = ending == Ending::Succeeded;
        let outcome = TaskResult {
            result: succeeded.then(|| text.into()),
            error: (!succeeded).then(|| text.into()),
            usage: succeeded.then(|| r#"{"turns":3}"#.to_owned()),
            truncated,
        };
        let report = Report {
            seq: run.seq,
            token: run.token,
            ending,
            outcome,
            exit_code: Some(if succeeded { 0 } else { 7 }),
            exit_signal: None,
            duration: Duration::from_millis(1500),
            breaker: None,
        };
        self.batch(vec![Input::Finished(report)]);
    }

    /// An attempt has written so many bytes to its standard output.
    pub(super) fn write(&mut self, run: &Run, bytes: usize) {
        let directory = self.directory.path().join("tasks").join(run.id.as_str()).join(run.attempt.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("stdout"), "x".repeat(bytes)).unwrap();
        let written = Written { stdout: bytes as u64, stderr: 0 };
        self.batch(vec![Input::Output { seq: run.seq, token: run.token, written }]);
    }
}
