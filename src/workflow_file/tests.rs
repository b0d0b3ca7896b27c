//! Files and what becomes of them: definitions, or complaints with their places.

use super::*;
use crate::model::command::{Destination, Selector};
use crate::model::workflow::OnFailure;
use std::time::Duration;

fn around() -> Around {
    Around { pool: PoolId::new("local"), directory: Some("/base".to_owned()), random: 7 }
}

fn good(source: &str, format: Format) -> Definition {
    parse(source, format, &around()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The complaints of a file, one a line.
fn complaints(source: &str, format: Format) -> String {
    let problems = parse(source, format, &around()).expect_err("it is wrong");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

const FULL: &str = r#"
name = "release"
on_failure = "skip"
dir = "repo"
group = "fast"

[[stage]]
name = "look"
retries = 2
timeout = "10m"
  [[stage.task]]
  name = "tests"
  prompt = "Run the tests"
  [[stage.task]]
  name = "docs"
  prompt = "Read {{{{this}} as it is"
  pool = "readers"
  dir = "/docs"
  context = { depth = 2, of = ["a", true] }
  priority = -5
  lock = "docs"

[[stage]]
name = "side"
needs = []
on_failure = "fail"
timeout = 1.5
task = [{ name = "lint", prompt = "Lint", selector = "random" }]

[[stage]]
name = "sum"
needs = ["side", "look"]
task = [{ name = "up", prompt = "{{tests}} and {{ look.docs }} and {{lint}}" }]
"#;

#[test]
fn a_file_says_all_that_it_can() {
    let definition = good(FULL, Format::Toml);
    assert_eq!((definition.name.as_str(), definition.tasks()), ("release", 4));
    let [look, side, sum] = &definition.stages[..] else { panic!("{definition:?}") };
    assert_eq!((look.on_failure, side.on_failure), (OnFailure::Skip, OnFailure::Fail));
    assert_eq!((&look.needs[..], &side.needs[..], &sum.needs[..]), (&[][..], &[][..], &[1, 0][..]));
    let [tests, docs] = &look.tasks[..] else { panic!("{look:?}") };
    let fast = Destination::Route { selector: Selector::LeastLoaded, group: Some("fast".to_owned()) };
    assert_eq!((&tests.to, tests.input.directory.as_deref()), (&fast, Some("/base/repo")));
    assert_eq!((tests.retries_max, tests.timeout), (2, Some(Duration::from_secs(600))));
    assert_eq!(
        (&docs.to, docs.input.directory.as_deref()),
        (&Destination::Pool(PoolId::new("readers")), Some("/docs"))
    );
    assert_eq!(docs.input.context.as_deref(), Some(r#"{"depth":2,"of":["a",true]}"#));
    assert_eq!((docs.priority, docs.lock.as_deref()), (-5, Some("docs")));
    assert_eq!(side.tasks[0].timeout, Some(Duration::from_millis(1500)));
    assert!(matches!(side.tasks[0].to, Destination::Route { selector: Selector::Random(_), group: None }));
    // As it was written: results are put in when the task begins.
    assert_eq!(sum.tasks[0].input.prompt, "{{tests}} and {{ look.docs }} and {{lint}}");
}

#[test]
fn json_is_the_same_in_other_letters() {
    let toml = "name = 'w'\n[[stage]]\nname = 'a'\n[[stage.task]]\nname = 't'\nprompt = 'p\\u00fc'\ncontext = {n = 1}\n\
                [[stage]]\nname = 'b'\n[[stage.task]]\nname = 'u'\nprompt = '{{t}}'\n";
    let json = r#"{"name": "w", "stage": [
      {"name": "a", "task": [{"name": "t", "prompt": "p\\u00fc", "context": {"n": 1}}]},
      {"n\u0061me": "b", "task": [{"name": "u", "prompt": "{{t}}"}]}]}"#;
    assert_eq!(good(toml, Format::Toml), good(json, Format::Json));
}

#[test]
fn a_stage_stands_behind_what_it_needs() {
    let file = "name = 'w'\n[[stage]]\nname = 'late'\nneeds = ['early']\ntask = [{name = 't', prompt = '{{early.t}}'}]\n\
                [[stage]]\nname = 'early'\nneeds = []\ntask = [{name = 't', prompt = ''}]\n";
    let definition = good(file, Format::Toml);
    let names: Vec<&str> = definition.stages.iter().map(|stage| &*stage.name).collect();
    assert_eq!((names, &definition.stages[1].needs[..]), (vec!["early", "late"], &[0][..]));
}

/// A file of these stages, each with one task `t`.
fn staged(stages: &str) -> String {
    format!("name = 'w'\n{stages}")
}

fn stage(name: &str, rest: &str) -> String {
    format!("[[stage]]\nname = '{name}'\n{rest}\ntask = [{{name = 't', prompt = 'p'}}]\n")
}

#[test]
fn complaints_have_their_place_and_a_suggestion() {
    let task = "\ntask = [{name = 't', prompt = 'p'}]\n";
    let table = [
        ("".to_owned(), "1:1: the file has no name\n1:1: the workflow has no stage; it needs at least one [[stage]]"),
        ("name = 'w'\nstage = []".to_owned(), "2:9: the workflow has no stage; it needs at least one [[stage]]"),
        ("name = 'w'\nstage = 7".to_owned(), "2:9: stage is a number; it must be a list"),
        (staged(&format!("nmae = 1\n{}", stage("a", ""))), "2:1: the file has no key \"nmae\"; did you mean \"name\"?"),
        (staged("[[stage]]\nname = 'a'\n"), "stage a has no task; it needs at least one"),
        (staged(&stage("a b", "")), "3:8: \"a b\" is no name"),
        (staged(&stage("a.b", "")), "3:8: \"a.b\" is no name"),
        (staged(&[stage("a", ""), stage("a", "")].concat()), "7:8: there is another stage a; names must differ"),
        (
            staged(&[stage("build", ""), stage("b", "needs = ['biuld']")].concat()),
            "8:10: there is no stage \"biuld\"; did you mean \"build\"?",
        ),
        (
            staged(&[stage("z", "needs = []"), stage("a", "needs = ['c']"), stage("b", ""), stage("c", "")].concat()),
            "7:8: stages need each other in a circle: a -> c -> b -> a",
        ),
        (staged(&stage("a", "needs = ['a']")), "3:8: stages need each other in a circle: a -> a"),
        (staged(&stage("a", "needs = 'b'")), "4:9: needs is a string; it must be a list"),
        (staged(&stage("a", "needs = [1]")), "4:10: needs has a number in it; it is a list of names of stages"),
        (staged(&stage("a", "retries = 101")), "4:11: retries must be a whole number from 0 to 100"),
        (
            staged(&stage("a", "timeout = 'soon'")),
            "4:11: timeout must be seconds from 0.1 to 604800, or a text like \"10m\"",
        ),
        (staged(&stage("a", "on_failure = 'stop'")), "4:14: on_failure is \"stop\"; it is fail or skip"),
        (
            staged(&format!("pool = 'p'\ngroup = 'g'\n{}", stage("a", ""))),
            "2:8: give either pool, or selector and group",
        ),
        (
            staged(&format!("selector = 'round_robbin'\n{}", stage("a", ""))),
            "2:12: Unknown selector strategy: round_robbin; did you mean \"round_robin\"?",
        ),
        ("name = 'w'\nname = 'x'".to_owned(), "2:1: duplicate key"),
        ("name = ".to_owned(), "1:8: "),
        (format!("name = 'ä' x{task}"), "1:12: "),
    ];
    for (file, expected) in table {
        let complaints = complaints(&file, Format::Toml);
        assert!(complaints.contains(expected), "{file}\n{complaints}\nshould say\n{expected}");
    }
}

#[test]
fn prompts_name_tasks_that_are_completed_before() {
    let file = |prompt: &str| {
        let first = "[[stage]]\nname = 'a'\ntask = [{name = 'one', prompt = ''}, {name = 'same', prompt = ''}]\n";
        let other = "[[stage]]\nname = 'other'\nneeds = []\ntask = [{name = 'same', prompt = ''}]\n";
        let last = "[[stage]]\nname = 'z'\nneeds = ['a']\n[[stage.task]]\nname = 'sum'\nprompt = '''\nSee ";
        format!("name = 'w'\n{first}{other}{last}{prompt}'''\n")
    };
    good(&file("{{one}} {{a.same}} {{{{two}}"), Format::Toml);
    for (prompt, expected) in [
        ("{{a.noe}}", "15:5: {{a.noe}} names no task; did you mean \"a.one\"?"),
        ("x {{ones}}", "15:7: {{ones}} names no task; did you mean \"one\"?"),
        ("{{same}}", "15:5: {{same}} could be a task of several stages; write {{stage.same}}"),
        ("{{other.same}}", "15:5: {{other.same}} is not there yet: stage z does not need stage other"),
        ("{{sum}}", "15:5: {{sum}} is not there yet: stage z does not need stage z"),
        ("{{ what is this }}", "15:5: \"what is this\" in double braces is no stage.task; write {{{{ for two braces"),
        ("{{one", "15:5: {{ is never closed; write {{{{ for two braces"),
    ] {
        assert_eq!(complaints(&file(prompt), Format::Toml), expected, "{prompt}");
    }
}

#[test]
fn json_has_places_too() {
    for (file, expected) in [
        ("{\n \"name\": }", "2:10: it is no JSON: expected value"),
        ("{\"name\": \"w\",\n  \"stages\": []}", "2:3: the file has no key \"stages\"; did you mean \"stage\"?"),
        ("{\"name\": \"w\",\n \"name\": \"x\"}", "2:2: duplicate key \"name\""),
        (
            "{\"name\": \"w\", \"stage\": [\n{\"name\": \"a\", \"needs\": [\"b\"],\n\"task\": [{\"name\": \"t\", \"prompt\": \"{{x}}\"}]}]}",
            "2:25: there is no stage \"b\"\n3:35: {{x}} names no task",
        ),
        ("[]", "1:1: the file is a list; it must be a table"),
        ("", "1:1: it is no JSON: EOF while parsing a value"),
    ] {
        let complaints = complaints(file, Format::Json);
        assert!(complaints.contains(expected), "{file}\n{complaints}\nshould say\n{expected}");
    }
}

#[test]
fn too_much_is_refused() {
    let stages = |count: usize| (0..count).map(|at| stage(&format!("s{at}"), "")).collect::<String>();
    assert_eq!(good(&staged(&stages(64)), Format::Toml).stages.len(), 64);
    assert!(complaints(&staged(&stages(65)), Format::Toml).contains("has 65 stages; at most 64 are"));
    let wide = |name: &str, count: usize| {
        let tasks: Vec<String> = (0..count).map(|at| format!("{{name = 't{at}', prompt = ''}}")).collect();
        format!("[[stage]]\nname = '{name}'\ntask = [{}]\n", tasks.join(", "))
    };
    assert!(complaints(&staged(&wide("a", 257)), Format::Toml).contains("has 257 tasks; at most 256 are"));
    let edges = complaints(&staged(&[wide("a", 128), wide("b", 128)].concat()), Format::Toml);
    assert!(edges.contains("need each other in 16384 ways; at most 10000 are"), "{edges}");
    let deep = format!("{{\"name\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(complaints(&deep, Format::Json).contains("nested more than 32 deep"));
    let deep = format!("name = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!complaints(&deep, Format::Toml).is_empty());
    assert!(complaints(&" ".repeat((1 << 20) + 1), Format::Toml).contains("at most 1048576 are"));
}

#[test]
fn junk_is_a_complaint_and_never_a_panic() {
    for cut in 0..FULL.len() {
        if let Some(part) = FULL.get(..cut) {
            drop(parse(part, Format::Toml, &around()));
            drop(parse(part, Format::Json, &around()));
        }
        if let Some(part) = FULL.get(cut..) {
            drop(parse(part, Format::Toml, &around()));
        }
    }
}
