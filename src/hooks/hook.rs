//! A hook, as its owner sees it: a thread that runs until it is told to end.

use super::board::Place;
use super::settings::{HookSettings, Means};
use super::work::Work;
use crate::executor::{Stop, Wake};
use crate::resilience::{CancelToken, Resilient};
use crate::thread::Joined;
use crossbeam_channel::{Sender, bounded};
use std::io;
use std::sync::Arc;

/// Who is told of a hook. Called on the hook's own thread, which waits meanwhile.
pub trait Listener: Send + Sync {
    /// It is done with everything up to that event.
    fn moved(&self, seq: u64);

    /// Its thread is about to end, and says nothing more.
    fn ended(&self);
}

/// Where a hook begins.
pub struct Beginning {
    /// Behind that event.
    pub seq: u64,
    /// The hook of that name that was told to end: the new one waits for its end, and goes on where it stopped if that is
    /// further. So there are never two of one name at work.
    pub before: Option<Hook>,
}

/// What all runs of a hook are known by to its wake, which is asked for one thing only, once and for all.
pub(super) const RUN: u64 = 1;

/// A hook at work on a thread of its own, `hook-NAME`.
///
/// Dropping it is [`end`](Hook::end) and then waiting for the thread, which takes a run's grace at most.
pub struct Hook {
    place: Arc<Place>,
    wake: Wake,
    cancel: CancelToken,
    // Closing this ends the thread's waiting, so it goes before the thread is joined.
    stop: Option<Sender<()>>,
    _thread: Joined<()>,
}

impl Hook {
    /// # Errors
    /// There is no thread or no file descriptor left, with the hook that this one was to follow.
    pub fn start(
        settings: HookSettings,
        means: &Arc<Means>,
        beginning: Beginning,
        listener: Arc<dyn Listener>,
    ) -> Result<Hook, (io::Error, Option<Hook>)> {
        let Beginning { seq, before } = beginning;
        let wake = match Wake::new() {
            Ok(wake) => wake,
            Err(error) => return Err((error, before)),
        };
        let (stop, stopped) = bounded(0);
        let cancel = CancelToken::new();
        let breaker = super::breaker_name(&settings.name);
        let resilient = match Resilient::new(&breaker, HookSettings::resilient(), &means.effects) {
            Ok(resilient) => resilient,
            Err(error) => return Err((io::Error::other(error), before)),
        };
        let breaker = resilient.breaker().clone();
        let place = Arc::new(Place::new(&settings.name, &settings.command, breaker, seq));
        let name = settings.name.clone();
        let work = Work {
            settings,
            means: Arc::clone(means),
            place: Arc::clone(&place),
            resilient,
            listener: Arc::clone(&listener),
            stop: stopped,
            cancel: cancel.clone(),
            wake: wake.clone(),
        };
        // Handed over once the thread runs: should it not, nobody is to be waited for here.
        let (hand_over, handed_over) = bounded::<Hook>(1);
        let thread = Joined::spawn(format!("hook-{name}"), move || {
            let _last_word = LastWord(listener);
            if let Ok(before) = handed_over.recv() {
                work.follow(before);
            }
            work.run();
        });
        match thread {
            Ok(thread) => {
                if let Some(before) = before {
                    let _ = hand_over.try_send(before);
                }
                Ok(Hook { place, wake, cancel, stop: Some(stop), _thread: thread })
            }
            Err(error) => Err((error, before)),
        }
    }

    /// The last event that it is done with.
    pub fn seq(&self) -> u64 {
        self.place.seq()
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Begins the end, for good, and does not wait for it: a command that runs is asked to end, and killed after its grace.
    pub fn end(&mut self) {
        self.cancel.cancel();
        self.wake.ask(RUN, Stop::Shutdown);
        self.stop = None;
    }

    /// With which no command of it is granted any grace any more, also when another hook waits for its end.
    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.end();
    }
}

/// Said whatever ends the thread.
struct LastWord(Arc<dyn Listener>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.ended();
    }
}
