//! Commands that speak stream-json.

use super::*;

const RESULT: &str = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":2,"result":"Two.","session_id":"s","total_cost_usd":0.5,"usage":{"input_tokens":7,"output_tokens":42}}"#;

#[test]
fn an_agent_tells_its_answer_and_what_it_took() {
    let ran = run_and(&agent(&format!("{READY} echo junk; echo '{RESULT}'")), |_| {});
    // When all comes at once there is nothing to report before the answer.
    assert!(ran.progress.is_empty() || ran.progress == ["ready"], "{:?}", ran.progress);
    assert_eq!((ran.finished.ending, ran.finished.result.as_str()), (Ending::Succeeded, "Two."));
    let usage = ran.finished.usage.unwrap();
    assert_eq!((usage.cost_usd, usage.turns, usage.session_id.as_deref()), (Some(0.5), Some(2), Some("s")));
}

#[test]
fn progress_is_told_five_times_a_second_and_to_the_end() {
    let words = r#"for n in $(seq 300); do echo '{"type":"assistant","message":{"content":[{"type":"text","text":"w"}]}}'; sleep 0.002; done"#;
    let ran = run_and(&agent(words), |_| {});
    let intervals = ran.finished.duration.as_millis() / 200;
    assert!(ran.progress.len() > 1 && ran.progress.len() as u128 <= intervals + 2, "{}", ran.progress.len());
    assert_eq!(ran.progress.last(), Some(&ran.finished.result));
    assert_eq!(ran.finished.result.matches('w').count(), 300);
}

#[test]
fn an_agent_may_refuse() {
    let refusal = r#"{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key"}"#;
    let finished = ran(&agent(&format!("echo noise >&2; echo '{refusal}'; exit 1")));
    assert_eq!((finished.ending, finished.standing), (Ending::Failed, Standing::Unwell { until: None }));
    assert_eq!(error(&finished), "`sh` answered with an error: Invalid API key");

    // It counts even when the program believes that all went well.
    let finished = ran(&agent(&format!("echo '{refusal}'")));
    assert_eq!(
        (finished.ending, finished.standing, finished.exit_code),
        (Ending::Failed, Standing::Unwell { until: None }, Some(0))
    );
}

#[test]
fn an_agent_that_breaks_off_fails_with_what_it_said() {
    let finished = ran(&agent(&format!("{READY} echo 'no login'; printf '{{\"type\":\"resu'; exit 1")));
    assert_eq!((finished.ending, finished.result.as_str()), (Ending::Failed, "ready"));
    assert!(error(&finished).starts_with("`sh` ended with exit code 1: no login"), "{}", error(&finished));
    assert_eq!(ran(&agent(READY)).ending, Ending::Succeeded);
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let script = format!("head -c 9000000 /dev/zero | tr '\\0' x; echo; echo '{RESULT}'");
    assert_eq!(ran(&agent(&script)).result, "Two.");
}
