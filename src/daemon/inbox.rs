//! The hub's one inbox: everything that can make the daemon act arrives here, and it is bounded.

use crate::model::breaker::BreakerState;
use crate::model::command::{Code, Command, Refusal};
use crate::model::hub::Input;
use crate::model::id::PoolId;
use crate::ports::{Answer, Asker};
use crate::service::Signal;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::time::Duration;

/// Letters that wait at most. Beyond it senders wait in turn.
const LETTERS_MAX: usize = 4096;
/// How long a door waits for a place before it says `busy`.
const DOOR_PATIENCE: Duration = Duration::from_secs(5);

pub(super) enum Letter {
    Ask {
        client: u64,
        command: Command,
        answer: Box<dyn Answer>,
    },
    /// A client is gone.
    Gone {
        client: u64,
    },
    /// A fact that cannot be refused.
    Fact(Input),
    /// Another program has changed something.
    Look,
    Signal(Signal),
    /// The circuit breaker of a pool's executor has changed.
    BreakerChanged {
        pool: PoolId,
        from: BreakerState,
        to: BreakerState,
        wait: Option<Duration>,
        /// The how manieth change of that breaker.
        seq: u64,
    },
    /// It has not let a task through.
    TurnedAway {
        pool: PoolId,
    },
    /// A hook is done with all events up to this one.
    HookMoved {
        name: String,
        seq: u64,
    },
    /// A hook's thread has said its last word.
    HookEnded {
        number: u64,
    },
    /// A worker thread ended that should not have.
    WorkerDied {
        pool: PoolId,
        slot: u8,
    },
    /// A thread ended without which the daemon would be half alive.
    ThreadDied {
        name: &'static str,
    },
}

/// Where letters are put.
#[derive(Clone)]
pub(super) struct Inbox {
    letters: Sender<Letter>,
}

pub(super) fn inbox() -> (Inbox, Receiver<Letter>) {
    let (sender, letters) = bounded(LETTERS_MAX);
    (Inbox { letters: sender }, letters)
}

impl Inbox {
    /// For what must arrive: waits for a place. The hub never waits for its senders, so this ends.
    /// When the hub has ended the letter is dropped; the next start recovers what it would have told.
    pub(super) fn put(&self, letter: Letter) {
        let _ = self.letters.send(letter);
    }

    /// For what is worth nothing when there is a crowd.
    pub(super) fn offer(&self, letter: Letter) {
        let _ = self.letters.try_send(letter);
    }
}

impl Asker for Inbox {
    fn ask(&self, client: u64, command: Command, answer: Box<dyn Answer>) -> Result<(), Refusal> {
        match self.letters.send_timeout(Letter::Ask { client, command, answer }, DOOR_PATIENCE) {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Timeout(_)) => Err(Refusal::new(Code::Busy, "the daemon is too busy; try again")),
            Err(SendTimeoutError::Disconnected(_)) => Err(Refusal::new(Code::NotRunning, "the daemon is stopping")),
        }
    }

    fn forget(&self, client: u64) {
        self.put(Letter::Gone { client });
    }
}

/// Tells the hub when the thread that holds it panics.
pub(super) struct DeathNotice {
    inbox: Inbox,
    letter: Option<Letter>,
}

impl DeathNotice {
    pub(super) fn new(inbox: &Inbox, letter: Letter) -> DeathNotice {
        DeathNotice { inbox: inbox.clone(), letter: Some(letter) }
    }
}

impl Drop for DeathNotice {
    fn drop(&mut self) {
        if crate::thread::is_panicking()
            && let Some(letter) = self.letter.take()
        {
            self.inbox.put(letter);
        }
    }
}
