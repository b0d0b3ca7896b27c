//! What a program's standard output amounts to: plain text, or a conversation in stream-json that is also progress.

use std::time::Duration;

use crate::clock::Tick;

use super::finished::{COMPLAINT_BYTES_MAX, Evidence, Standing};
use super::job::Job;
use super::output::{Capture, Tail, cut_text};
use super::stream_json::{self, Transcript};

/// Between two reports of progress: five a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) enum Answer {
    Plain { capture: Capture, tail: Tail },
    Conversation { transcript: Box<Transcript>, progress_from: Tick },
}

impl Answer {
    pub(super) fn of(job: &Job) -> Answer {
        if stream_json::is_spoken_by(&job.argv) {
            let transcript = Box::new(Transcript::new(job.result_bytes_max, COMPLAINT_BYTES_MAX));
            Answer::Conversation { transcript, progress_from: Tick::ZERO }
        } else {
            Answer::Plain { capture: Capture::new(job.result_bytes_max), tail: Tail::new(COMPLAINT_BYTES_MAX) }
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Answer::Plain { capture, tail } => {
                capture.push(bytes);
                tail.push(bytes);
            }
            Answer::Conversation { transcript, .. } => transcript.push(bytes),
        }
    }

    /// When there will be progress to report; never, without news.
    pub(super) fn progress_due(&self) -> Tick {
        match self {
            Answer::Conversation { transcript, progress_from } if transcript.has_news() => *progress_from,
            _ => Tick::FAR,
        }
    }

    /// What is to be reported now, if anything: the whole text so far.
    pub(super) fn progress(&mut self, now: Tick) -> Option<String> {
        match self {
            Answer::Conversation { transcript, progress_from } if now >= *progress_from => {
                let news = transcript.news()?;
                *progress_from = now.after(PROGRESS_INTERVAL);
                Some(news)
            }
            _ => None,
        }
    }

    /// The stream has ended. Gives what would have been reported later, unless the answer has taken its place.
    pub(super) fn end(&mut self) -> Option<String> {
        match self {
            Answer::Plain { .. } => None,
            Answer::Conversation { transcript, .. } => {
                transcript.finish();
                transcript.news()
            }
        }
    }

    pub(super) fn tell(self, evidence: &mut Evidence) {
        match self {
            Answer::Plain { capture, tail } => {
                (evidence.result, evidence.truncated) = capture.into_text();
                if evidence.complaint.is_empty() {
                    evidence.complaint = tail.text();
                }
                // It was started, and more is not known of a program that is no agent.
                evidence.standing = Standing::Well;
            }
            Answer::Conversation { transcript, .. } => {
                let answer = transcript.answer();
                if answer.is_error {
                    evidence.complaint = cut_text(answer.text.clone(), COMPLAINT_BYTES_MAX).0;
                } else if evidence.complaint.is_empty() {
                    evidence.complaint = transcript.junk();
                }
                evidence.refused = answer.is_error;
                evidence.standing = transcript.standing();
                evidence.usage = transcript.usage();
                (evidence.result, evidence.truncated) = (answer.text, answer.truncated);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::tests::job;

    fn conversation() -> Answer {
        Answer::of(&job(&["claude", "-p", "--output-format", "stream-json"]))
    }

    fn say(answer: &mut Answer, text: &str) {
        let line = format!(r#"{{"type":"assistant","message":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#);
        answer.push(format!("{line}\n").as_bytes());
    }

    fn at(millis: u64) -> Tick {
        Tick::ZERO.after(Duration::from_millis(millis))
    }

    #[test]
    fn the_first_word_comes_at_once_and_the_next_after_a_while() {
        let mut answer = conversation();
        assert_eq!((answer.progress_due(), answer.progress(at(1000))), (Tick::FAR, None));
        say(&mut answer, "a");
        assert_eq!(answer.progress(at(1000)).as_deref(), Some("a"));
        say(&mut answer, "b");
        assert_eq!((answer.progress_due(), answer.progress(at(1199))), (at(1200), None));
        say(&mut answer, "c");
        assert_eq!(answer.progress(at(1200)).as_deref(), Some("a\n\nb\n\nc"));
        assert_eq!(answer.progress_due(), Tick::FAR);
    }

    #[test]
    fn the_last_word_is_told_unless_there_is_a_result() {
        let mut answer = conversation();
        say(&mut answer, "a");
        answer.progress(at(1000));
        say(&mut answer, "b");
        assert_eq!(answer.end().as_deref(), Some("a\n\nb"));

        let mut answer = conversation();
        say(&mut answer, "a");
        answer.push(br#"{"type":"result","subtype":"success","result":"done"}"#);
        assert_eq!(answer.end(), None);
    }
}
