//! One panel: its connection, what it has counted and measured, what has happened, and the picture that this makes.

use super::describe::{Level, describe, level};
use super::frame::Frame;
use super::history::{Entry, History};
use super::latency::{Latency, Rate};
use super::plain::{sentence, unknown};
use super::pool::PoolPicture;
use super::settings::{Kind, PanelSettings};
use super::tell::{Continuity, Lost, Tell, Why};
use super::text::{NAME_CHARS_MAX, SENTENCE_CHARS_MAX, clock, safe};
use super::workers::earlier;
use super::workflow::WorkflowPicture;
use crate::clock::{Now, Tick, Timestamp};

#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) channel: String,
    pub(crate) link: Link,
    /// Since when the picture may be wrong; `None` while it is what the server says.
    pub(crate) stale_since: Option<Tick>,
    pub(crate) messages: u64,
    pub(crate) junk: u64,
    pub(crate) rate: Rate,
    pub(crate) latency: Latency,
    pub(crate) history: History,
    /// What is asked for is not there; a sentence about it.
    pub(crate) unknown: Option<String>,
    pub(crate) picture: Picture,
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Connecting {
        attempt: u32,
    },
    /// Nothing comes; a token may be wanted.
    Ungreeted,
    Greeted,
    Live,
    Lost {
        lost: Lost,
        retry_at: Tick,
    },
}

impl Link {
    /// Why nothing comes.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self {
            Link::Lost { lost, .. } => Some(safe(&lost.why.to_string(), SENTENCE_CHARS_MAX)),
            Link::Ungreeted => Some(
                "no greeting; if it wants a token, give it with --token-file FILE or CLAUDE_COMMS_TOKEN".to_owned(),
            ),
            Link::Connecting { .. } | Link::Greeted | Link::Live => None,
        }
    }
}

/// What the panel is a picture of.
#[derive(Clone, Debug)]
pub(crate) enum Picture {
    Pool(PoolPicture),
    Workflow(WorkflowPicture),
    /// Only of what happens.
    Events,
}

impl Panel {
    pub(crate) fn new(settings: &PanelSettings, kind: &Kind) -> Panel {
        Panel {
            name: safe(&settings.name, NAME_CHARS_MAX),
            url: safe(&settings.address.to_string(), NAME_CHARS_MAX),
            channel: safe(&settings.channel, NAME_CHARS_MAX),
            link: Link::Connecting { attempt: 1 },
            stale_since: None,
            messages: 0,
            junk: 0,
            rate: Rate::default(),
            latency: Latency::default(),
            history: History::default(),
            unknown: None,
            picture: match kind {
                Kind::Pool(_) => Picture::Pool(PoolPicture::default()),
                Kind::Workflow(_) => Picture::Workflow(WorkflowPicture::default()),
                Kind::Dashboard => Picture::Events,
            },
        }
    }

    pub(crate) fn hear(&mut self, now: Now, tell: &Tell) {
        match tell {
            Tell::Connecting { attempt } => self.link = Link::Connecting { attempt: *attempt },
            Tell::Found { address } => self.url = safe(&address.to_string(), NAME_CHARS_MAX),
            Tell::NoWelcome => self.link = Link::Ungreeted,
            Tell::Welcomed => self.link = Link::Greeted,
            Tell::Subscribed(continuity) => {
                self.link = Link::Live;
                self.count(now);
                // Where all is told, the picture becomes what it should be; and events alone are no picture.
                if *continuity == Continuity::Whole || matches!(self.picture, Picture::Events) {
                    self.stale_since = None;
                }
            }
            Tell::Event { frame, is_live } => self.event(now, frame, *is_live),
            Tell::Status(data) => {
                self.count(now);
                self.is_fresh();
                match &mut self.picture {
                    Picture::Pool(pool) => pool.take(data, now),
                    Picture::Workflow(workflow) => workflow.take(data, now),
                    Picture::Events => {}
                }
            }
            Tell::Unknown { known } => {
                self.count(now);
                self.unknown = Some(unknown(known, true));
            }
            Tell::Refused { .. } => self.count(now),
            Tell::Junk => {
                self.count(now);
                self.junk += 1;
                return;
            }
            Tell::Lost(lost) => self.lose(now, lost.clone()),
            Tell::Ended | Tell::Died => {}
        }
        self.note(now, tell);
    }

    fn count(&mut self, now: Now) {
        self.messages += 1;
        self.rate.add(now.tick);
    }

    fn is_fresh(&mut self) {
        self.link = Link::Live;
        self.stale_since = None;
        self.unknown = None;
    }

    fn event(&mut self, now: Now, frame: &Frame, is_live: bool) {
        self.count(now);
        let at = frame.at();
        if let Some(at) = at.filter(|_| is_live) {
            self.latency.add(at.until(now.wall));
        }
        match &mut self.picture {
            Picture::Workflow(workflow) if !workflow.concerns(frame) => return,
            Picture::Workflow(workflow) => workflow.hear(frame, at.unwrap_or(now.wall), now),
            Picture::Pool(pool) => pool.hear(frame, at.map_or(now.tick, |at| earlier(now, at))),
            Picture::Events => {}
        }
        self.is_fresh();
        // A picture of a state is no happening.
        if frame.is_snapshot() {
            return;
        }
        self.history.push(Entry {
            clock: clock(&at.unwrap_or(now.wall).to_string()),
            level: level(frame),
            event: safe(&frame.event, NAME_CHARS_MAX),
            text: describe(frame),
        });
    }

    fn lose(&mut self, now: Now, lost: Lost) {
        let retry_at = now.tick.after(lost.retry_in);
        // One that fell silent may have been gone since its last word.
        let silent = if let Why::Silent(silence) = lost.why { silence } else { std::time::Duration::ZERO };
        let last = Tick::from_nanos(now.tick.as_nanos().saturating_sub(silent.as_nanos() as u64));
        if self.messages > 0 {
            self.stale_since = self.stale_since.or(Some(last));
        }
        self.link = Link::Lost { lost, retry_at };
    }

    /// The connection's part of the history: what a person has to know to read the rest.
    fn note(&mut self, now: Now, tell: &Tell) {
        let (level, event) = match tell {
            Tell::Subscribed(Continuity::Broken) => (Level::Warning, "connected"),
            Tell::Subscribed(_) => (Level::Good, "connected"),
            Tell::Refused { .. } => (Level::Error, "refused"),
            // Attempts that come to the same say nothing new.
            Tell::Lost(lost) if lost.attempt <= 2 => (Level::Error, "lost"),
            _ => return,
        };
        let text = match tell {
            Tell::Subscribed(Continuity::First) => String::new(),
            Tell::Subscribed(Continuity::Whole) => "nothing was missed".to_owned(),
            Tell::Subscribed(Continuity::Broken) => "events may be missing".to_owned(),
            Tell::Lost(lost) => safe(&lost.why.to_string(), SENTENCE_CHARS_MAX),
            tell => sentence(tell).unwrap_or_default(),
        };
        self.history.push(Entry { clock: wall(now.wall), level, event: event.to_owned(), text });
    }
}

fn wall(at: Timestamp) -> String {
    clock(&at.to_string())
}
