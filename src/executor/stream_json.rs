//! What an agent says with `--output-format stream-json`: one JSON object a line, of which the text of the assistant is
//! progress and the last `result` the answer. Whatever is not understood is passed over.

use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;

use super::finished::{Standing, Usage};
use super::lines::Lines;
use super::output::{Tail, cut_text};

/// Between two messages of the assistant.
const PARAGRAPH: &str = "\n\n";

/// What an agent answers whose prompt is at fault.
const TOO_LONG: &str = "Prompt is too long";
/// Unix times above this are in milliseconds: in seconds it is the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// Whether the command will speak it.
pub(super) fn is_spoken_by(argv: &[String]) -> bool {
    argv.iter().any(|argument| argument == "--output-format=stream-json")
        || argv.windows(2).any(|pair| pair[0] == "--output-format" && pair[1] == "stream-json")
}

/// Everything worth keeping of the conversation so far.
#[derive(Debug)]
pub(super) struct Transcript {
    lines: Lines,
    said: Said,
}

#[derive(Debug)]
struct Said {
    /// The messages of the assistant that are complete.
    text: String,
    /// The one that is being written, when the agent tells by the word.
    unfinished: String,
    bytes_max: usize,
    truncated: bool,
    has_news: bool,
    answer: Option<Answer>,
    /// What the answer tells of the agent.
    standing: Standing,
    /// When the limit that it was last said to be over is lifted.
    limited_until: Option<Timestamp>,
    usage: Usage,
    junk: Tail,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) truncated: bool,
    pub(super) is_error: bool,
}

impl Transcript {
    pub(super) fn new(bytes_max: usize, junk_bytes_max: usize) -> Transcript {
        Transcript {
            lines: Lines::default(),
            said: Said {
                text: String::new(),
                unfinished: String::new(),
                bytes_max,
                truncated: false,
                has_news: false,
                answer: None,
                standing: Standing::Untold,
                limited_until: None,
                usage: Usage::default(),
                junk: Tail::new(junk_bytes_max),
            },
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes, |line| self.said.read(line));
    }

    /// Call it when the stream has ended, for the last line may lack its newline.
    pub(super) fn finish(&mut self) {
        self.lines.finish(|line| self.said.read(line));
    }

    /// The whole text so far, if there is more than at the last call and the answer is not there yet.
    pub(super) fn news(&mut self) -> Option<String> {
        let said = &mut self.said;
        let is_new = std::mem::take(&mut said.has_news);
        (is_new && said.answer.is_none()).then(|| joined(&said.text, &said.unfinished))
    }

    pub(super) fn has_news(&self) -> bool {
        self.said.has_news && self.said.answer.is_none()
    }

    /// The answer; without one, what the assistant has said.
    pub(super) fn answer(&self) -> Answer {
        let said = &self.said;
        said.answer.clone().unwrap_or_else(|| {
            let (text, cut) = cut_text(joined(&said.text, &said.unfinished), said.bytes_max);
            Answer { text, truncated: said.truncated || cut, is_error: false }
        })
    }

    /// One that is over its limit may end without a result.
    pub(super) fn standing(&self) -> Standing {
        match (&self.said.answer, self.said.limited_until) {
            (None, Some(until)) => Standing::Unwell { until: Some(until) },
            _ => self.said.standing,
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        (self.said.usage != Usage::default()).then(|| self.said.usage.clone())
    }

    /// The last lines that were no JSON: a program that cannot even start tends to say why in plain words.
    pub(super) fn junk(&self) -> String {
        self.said.junk.text()
    }
}

fn joined(text: &str, unfinished: &str) -> String {
    let between = if text.is_empty() || unfinished.is_empty() { "" } else { PARAGRAPH };
    [text, between, unfinished].concat()
}

impl Said {
    fn read(&mut self, line: &[u8]) {
        // First only the type: most lines are of no interest, and some (a tool's output, an image) are megabytes.
        match serde_json::from_slice::<WireType>(line).map(|line| line.kind) {
            Ok(Kind::Assistant) => self.read_message(line),
            Ok(Kind::StreamEvent) => self.read_part(line),
            Ok(Kind::Result) => self.read_answer(line),
            Ok(Kind::System) => self.read_session(line),
            Ok(Kind::RateLimitEvent) => self.read_limit(line),
            Ok(Kind::Other) => {}
            Err(_) => {
                self.junk.push(line);
                self.junk.push(b"\n");
            }
        }
    }

    fn read_message(&mut self, line: &[u8]) {
        let Ok(WireAssistant { message, parent_tool_use_id: None }) = serde_json::from_slice(line) else {
            return;
        };
        self.unfinished.clear();
        for text in message.content.into_iter().filter_map(WireBlock::into_text) {
            if !self.text.is_empty() {
                self.text.push_str(PARAGRAPH);
            }
            self.text.push_str(&text);
            self.has_news = true;
        }
        self.limit();
    }

    fn read_part(&mut self, line: &[u8]) {
        let Ok(WireStreamEvent { event, parent_tool_use_id: None }) = serde_json::from_slice(line) else {
            return;
        };
        if let Some(text) = event.delta.and_then(WireBlock::into_text) {
            self.unfinished.push_str(&text);
            self.has_news = true;
            self.limit();
        }
    }

    fn read_answer(&mut self, line: &[u8]) {
        let Ok(WireResult { subtype, is_error, result, total_cost_usd, usage, num_turns, session_id, errors }) =
            serde_json::from_slice(line)
        else {
            return;
        };
        let is_error =
            is_error.as_bool().unwrap_or(false) || subtype.as_str().is_some_and(|it| it.starts_with("error"));
        let text = match result {
            Value::String(text) => text,
            Value::Null if is_error => reason(&subtype, &errors),
            Value::Null => joined(&self.text, &self.unfinished),
            other => other.to_string(),
        };
        let (text, truncated) = cut_text(text, self.bytes_max);
        self.standing = match subtype.as_str() {
            // The task was too long for the limits that it was given, which the next one need not be.
            Some(subtype) if subtype.starts_with("error_max") => Standing::Well,
            Some("error_during_execution") => Standing::Untold,
            _ if is_error && text.starts_with(TOO_LONG) => Standing::Untold,
            _ if is_error => Standing::Unwell { until: reset_in(&text).or(self.limited_until) },
            _ => Standing::Well,
        };
        self.answer = Some(Answer { text, truncated, is_error });
        self.usage = Usage {
            cost_usd: total_cost_usd.as_f64(),
            input_tokens: usage.get("input_tokens").and_then(Value::as_u64),
            output_tokens: usage.get("output_tokens").and_then(Value::as_u64),
            turns: num_turns.as_u64(),
            session_id: session_id.as_str().map(str::to_owned).or_else(|| self.usage.session_id.take()),
        };
    }

    fn read_session(&mut self, line: &[u8]) {
        if let Ok(WireSystem { session_id: Value::String(id) }) = serde_json::from_slice(line) {
            self.usage.session_id = Some(id);
        }
    }

    fn read_limit(&mut self, line: &[u8]) {
        let Ok(WireLimit { rate_limit_info: info }) = serde_json::from_slice(line) else { return };
        let is_over = info.get("status").and_then(Value::as_str) == Some("rejected");
        let resets_at = info.get("resetsAt").and_then(Value::as_f64).filter(|_| is_over);
        self.limited_until = resets_at.map(moment);
    }

    fn limit(&mut self) {
        for text in [&mut self.text, &mut self.unfinished] {
            if text.len() > self.bytes_max {
                text.truncate(text.floor_char_boundary(self.bytes_max));
                self.truncated = true;
            }
        }
    }
}

/// Why there is no result, as far as the line tells.
fn reason(subtype: &Value, errors: &Value) -> String {
    let errors: Vec<&str> = errors.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if errors.is_empty() { subtype.as_str().unwrap_or("error").replace('_', " ") } else { errors.join("; ") }
}

/// When a limit is lifted, if the answer ends with the Unix time of it: `Claude AI usage limit reached|1762952400`.
fn reset_in(answer: &str) -> Option<Timestamp> {
    let (sentence, seconds) = answer.trim_end().rsplit_once('|')?;
    let seconds: u64 = seconds.parse().ok().filter(|_| sentence.contains("limit"))?;
    Some(moment(seconds as f64))
}

/// Unix time in seconds; what would be thousands of years away is in milliseconds.
fn moment(number: f64) -> Timestamp {
    Timestamp::from_unix_seconds(if number > MILLISECONDS_FROM { number / 1000.0 } else { number })
}

#[derive(Deserialize)]
struct WireType {
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Assistant,
    StreamEvent,
    Result,
    System,
    RateLimitEvent,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct WireAssistant {
    message: WireMessage,
    /// Set when a helper of the assistant speaks: that is not addressed to us.
    #[serde(default)]
    parent_tool_use_id: Option<String>,
}

#[derive(Deserialize)]
struct WireMessage {
    #[serde(default)]
    content: Vec<WireBlock>,
}

/// A block of a message, or the part of one.
#[derive(Deserialize)]
struct WireBlock {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

impl WireBlock {
    fn into_text(self) -> Option<String> {
        self.text.filter(|text| matches!(self.kind.as_str(), "text" | "text_delta") && !text.is_empty())
    }
}

#[derive(Deserialize)]
struct WireStreamEvent {
    event: WireEvent,
    #[serde(default)]
    parent_tool_use_id: Option<String>,
}

#[derive(Deserialize)]
struct WireEvent {
    #[serde(default)]
    delta: Option<WireBlock>,
}

/// Values rather than types: an answer must not be lost to a field that has changed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WireResult {
    subtype: Value,
    is_error: Value,
    result: Value,
    total_cost_usd: Value,
    usage: Value,
    num_turns: Value,
    session_id: Value,
    errors: Value,
}

#[derive(Deserialize)]
struct WireLimit {
    #[serde(default)]
    rate_limit_info: Value,
}

#[derive(Deserialize)]
struct WireSystem {
    #[serde(default)]
    session_id: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: &str = r#"{"type":"system","subtype":"init","session_id":"s-1","tools":["Bash"],"model":"m"}"#;
    const FIRST: &str = r#"{"type":"assistant","message":{"id":"m1","role":"assistant","content":[{"type":"text","text":"Looking."},{"type":"tool_use","id":"t","name":"Bash","input":{"command":"ls"}}]},"parent_tool_use_id":null,"session_id":"s-1"}"#;
    const TOOL: &str = r#"{"type":"user","message":{"role":"user","content":[{"tool_use_id":"t","type":"tool_result","content":"a\nb"}]}}"#;
    const HELPER: &str =
        r#"{"type":"assistant","message":{"content":[{"type":"text","text":"aside"}]},"parent_tool_use_id":"t"}"#;
    const SECOND: &str = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"Two files: ä"}]}}"#;
    const RESULT: &str = r#"{"type":"result","subtype":"success","is_error":false,"duration_ms":9,"num_turns":2,"result":"Two files.","session_id":"s-1","total_cost_usd":0.0125,"usage":{"input_tokens":7,"cache_read_input_tokens":100,"output_tokens":42}}"#;

    fn transcript(lines: &[&str]) -> Transcript {
        let mut transcript = Transcript::new(100, 64);
        transcript.push(lines.join("\n").as_bytes());
        transcript.finish();
        transcript
    }

    fn answer(lines: &[&str]) -> (String, bool) {
        let answer = transcript(lines).answer();
        (answer.text, answer.is_error)
    }

    #[test]
    fn a_conversation_gives_progress_and_then_the_answer() {
        let mut transcript = Transcript::new(100, 64);
        transcript.push(format!("{SYSTEM}\n{FIRST}\n{TOOL}\n{HELPER}\n").as_bytes());
        assert_eq!(transcript.news().as_deref(), Some("Looking."));
        assert_eq!(transcript.news(), None);
        transcript.push(format!("{SECOND}\n").as_bytes());
        assert_eq!(transcript.news().as_deref(), Some("Looking.\n\nTwo files: ä"));
        transcript.push(RESULT.as_bytes());
        transcript.finish();
        assert_eq!(transcript.news(), None);
        assert_eq!(transcript.answer(), Answer { text: "Two files.".to_owned(), truncated: false, is_error: false });
        let usage = transcript.usage().unwrap();
        assert_eq!((usage.cost_usd, usage.input_tokens, usage.output_tokens), (Some(0.0125), Some(7), Some(42)));
        assert_eq!((usage.turns, usage.session_id.as_deref()), (Some(2), Some("s-1")));
    }

    #[test]
    fn it_does_not_matter_where_the_stream_is_cut() {
        let stream = [SYSTEM, FIRST, TOOL, SECOND, RESULT].join("\n");
        for size in [1, 2, 3, 7, 64] {
            let mut transcript = Transcript::new(100, 64);
            for chunk in stream.as_bytes().chunks(size) {
                transcript.push(chunk);
            }
            transcript.finish();
            assert_eq!(transcript.answer().text, "Two files.");
        }
    }

    #[test]
    fn without_a_result_what_was_said_is_the_answer() {
        assert_eq!(answer(&[FIRST, SECOND]), ("Looking.\n\nTwo files: ä".to_owned(), false));
        assert_eq!(answer(&[FIRST, &RESULT[..40]]), ("Looking.".to_owned(), false));
        assert_eq!(answer(&[]), (String::new(), false));
        assert_eq!(transcript(&[SYSTEM]).usage().unwrap().session_id.as_deref(), Some("s-1"));
        assert_eq!(transcript(&[]).usage(), None);
    }

    #[test]
    fn an_error_is_one_with_or_without_a_text() {
        let login = r#"{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key"}"#;
        assert_eq!(answer(&[login]), ("Invalid API key".to_owned(), true));
        let turns = r#"{"type":"result","subtype":"error_max_turns","is_error":false,"num_turns":9}"#;
        assert_eq!(answer(&[FIRST, turns]), ("error max turns".to_owned(), true));
        let named = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["a","b"]}"#;
        assert_eq!(answer(&[named]), ("a; b".to_owned(), true));
    }

    #[test]
    fn what_an_answer_tells_of_the_agent() {
        let standing = |lines: &[&str]| transcript(lines).standing();
        let at = |seconds: f64| Standing::Unwell { until: Some(Timestamp::from_unix_seconds(seconds)) };
        assert_eq!(standing(&[FIRST]), Standing::Untold);
        assert_eq!(standing(&[FIRST, RESULT]), Standing::Well);
        assert_eq!(standing(&[r#"{"type":"result","subtype":"error_max_turns","is_error":true}"#]), Standing::Well);
        let login = r#"{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key | log in"}"#;
        assert_eq!(standing(&[login]), Standing::Unwell { until: None });
        let limit = r#"{"type":"result","is_error":true,"result":"Claude AI usage limit reached|1762952400"}"#;
        assert_eq!(standing(&[limit]), at(1_762_952_400.0));
        assert_eq!(standing(&[&limit.replace("400\"", "400000\"")]), at(1_762_952_400.0));
        let prompt = r#"{"type":"result","is_error":true,"result":"Prompt is too long"}"#;
        let broke = r#"{"type":"result","subtype":"error_during_execution","is_error":true}"#;
        assert_eq!([standing(&[prompt]), standing(&[broke])], [Standing::Untold; 2]);
        let event = |status: &str| {
            format!(r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"{status}","resetsAt":1762952500}}}}"#)
        };
        assert_eq!(standing(&[&event("rejected"), login]), at(1_762_952_500.0));
        assert_eq!(standing(&[FIRST, &event("rejected")]), at(1_762_952_500.0));
        assert_eq!(standing(&[&event("rejected"), RESULT]), Standing::Well);
        assert_eq!(standing(&[&event("rejected"), &event("allowed"), login]), Standing::Unwell { until: None });
        assert_eq!(standing(&[r#"{"type":"rate_limit_event","rate_limit_info":7}"#, RESULT]), Standing::Well);
    }

    #[test]
    fn words_that_come_one_by_one_are_replaced_by_the_message() {
        let part = |text: &str| {
            format!(
                r#"{{"type":"stream_event","event":{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}}}"#
            )
        };
        let mut transcript = Transcript::new(100, 64);
        transcript.push(format!("{}\n{}\n", part("Loo"), part("kin")).as_bytes());
        assert_eq!(transcript.news().as_deref(), Some("Lookin"));
        transcript.push(format!("{FIRST}\n{}\n", part("Two")).as_bytes());
        assert_eq!(transcript.news().as_deref(), Some("Looking.\n\nTwo"));
    }

    #[test]
    fn junk_is_kept_for_the_error_and_harms_nothing() {
        let junk = [
            "",
            "not json",
            "{",
            "null",
            "[1,2]",
            r#"{"type":7}"#,
            r#"{"type":"assistant"}"#,
            r#"{"type":"assistant","message":{"content":"text"}}"#,
            r#"{"type":"stream_event","event":{"delta":{"type":"input_json_delta","partial_json":"{"}}}"#,
            r#"{"type":"result","result":{"a":1},"usage":[],"total_cost_usd":"much","num_turns":-1}"#,
        ];
        let mut all = junk.to_vec();
        assert_eq!(answer(&all), (r#"{"a":1}"#.to_owned(), false));
        all.insert(3, RESULT);
        all.pop();
        let transcript = transcript(&all);
        assert_eq!(transcript.answer().text, "Two files.");
        assert!(transcript.junk().contains("null"), "{}", transcript.junk());
    }

    #[test]
    fn an_endless_talk_is_bounded() {
        let long = format!(
            r#"{{"type":"assistant","message":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#,
            "x".repeat(70)
        );
        let answer = transcript(&[&long, &long, &long]).answer();
        assert_eq!((answer.text.len(), answer.truncated), (100, true));
    }

    #[test]
    fn the_format_is_recognised_in_both_spellings() {
        let argv = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_spoken_by(&argv("claude -p --output-format stream-json --verbose")));
        assert!(is_spoken_by(&argv("claude -p --output-format=stream-json")));
        assert!(!is_spoken_by(&argv("claude -p --output-format json stream-json")));
        assert!(!is_spoken_by(&argv("claude --output-format")));
    }
}
