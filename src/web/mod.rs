//! The one TCP port: HTTP heads, WebSocket subscribers, agents that speak MCP, the numbers for Prometheus, and the page. One
//! readiness loop serves every connection; what may take a while is done beside it.

#[cfg(fuzzing)]
pub mod fuzzing;

mod event_loop;
mod wake;

mod connection;
mod http;
mod session;

mod body;
mod calls;
mod changes;
mod exchange;
mod lines;
mod looks;
mod stream;

mod head;
mod page;
mod response;
mod routes;
mod token;
mod visitor;

mod answers;
mod query;
mod reply;
mod request;
mod snapshot;
mod work;

mod allowance;
mod delivery;
mod meters;
mod outbox;
mod rounds;
mod shared;
mod wire;

#[cfg(test)]
mod tests;

pub use shared::Settings;
pub use token::Tokens;
pub use visitor::Welcome;

use crate::clock::{Clock, Tick};
use crate::feed::{Feed, Waking};
use crate::mcp::server::{Engine, Offer};
use crate::ports::{Asker, Exposition, Readers};
use crate::telemetry::Registry;
use crate::thread::Joined;
use calls::Calls;
use crossbeam_channel::{Sender, bounded};
use event_loop::{EventLoop, LISTENER};
use lines::{Adopted, LINES_MAX, Place};
use mio::{Interest, Poll};
use shared::Shared;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use wake::{Alarm, Bell};
use work::{Desk, JOBS_MAX};

/// Connections that wait to be taken over.
const ADOPTED_MAX: usize = 64;

/// What the door is opened onto.
pub struct Means {
    /// What is served to clients of MCP.
    pub offer: Arc<dyn Offer>,
    pub asker: Arc<dyn Asker>,
    pub readers: Arc<dyn Readers>,
    pub exposition: Arc<dyn Exposition>,
    pub feed: Arc<Feed>,
    pub clock: Arc<dyn Clock>,
    /// Where this door's own numbers are counted.
    pub registry: Registry,
}

/// The open port. Dropping it tells every client when to come back, and ends.
pub struct Web {
    alarm: Arc<Alarm>,
    address: Option<SocketAddr>,
    adoption: Adoption,
    /// Dropped when what the desk waits for is not worth waiting for any more.
    stop: Option<Sender<()>>,
    // Dropped after the alarm was rung, in this order: the loop gives the desk its work, and ends it by going.
    _serving: Joined<()>,
    _working: Joined<()>,
    _waking: Waking,
}

impl Web {
    /// Starts to serve; without a listener only those who are handed over. `notices` are kept by the two threads and dropped when they end, by a panic too.
    ///
    /// # Errors
    /// No thread or no file descriptor is left.
    pub fn start<N: Send + 'static>(
        listener: Option<TcpListener>,
        settings: Settings,
        means: Means,
        notices: [N; 2],
    ) -> io::Result<Web> {
        let poll = Poll::new()?;
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let listener = listener.map(|listener| waited_for(listener, &poll)).transpose()?;
        let alarm = Arc::new(Alarm::new(&poll, Arc::clone(&means.clock))?);
        let waking = means.feed.wake(Box::new(Bell(Arc::clone(&alarm))));
        let (to_desk, jobs) = bounded(JOBS_MAX);
        let (done, from_desk) = bounded(JOBS_MAX);
        let (to_adopt, adopted) = bounded(ADOPTED_MAX);
        let calls = Calls::new(Engine::new(means.offer), Arc::clone(&means.asker), Arc::clone(&alarm));
        let [of_loop, of_desk] = notices;
        let (feed, clock) = (Arc::clone(&means.feed), Arc::clone(&means.clock));
        let meters = meters::Meters::new(&means.registry).map_err(io::Error::other)?;
        let (stop, stopped) = bounded(0);
        let working = {
            let alarm = Arc::clone(&alarm);
            let desk = Desk {
                asker: means.asker,
                readers: means.readers,
                exposition: means.exposition,
                feed: means.feed,
                clock: means.clock,
                stopped,
            };
            Joined::spawn("web-read", move || {
                let _kept = of_desk;
                desk.run(&jobs, |id, outcome| {
                    // Fails only when the loop has ended, and then nobody is left to be answered.
                    if done.send((id, outcome)).is_ok() {
                        alarm.ring();
                    }
                });
            })?
        };
        let serving = {
            let alarm = Arc::clone(&alarm);
            Joined::spawn("web", move || {
                let _kept = of_loop;
                let shared = Shared {
                    settings,
                    meters,
                    batches: delivery::Batches::new(Arc::clone(&feed)),
                    jobs: VecDeque::new(),
                    calls,
                    now: clock.now(),
                    last_seq: feed.last_seq(),
                    last_at: Tick::ZERO,
                    clock,
                    feed,
                };
                EventLoop::new(poll, listener, alarm, to_desk, from_desk, adopted, shared).run();
            })?
        };
        let adoption = Adoption { to_adopt, alarm: Arc::clone(&alarm), places: Arc::default() };
        Ok(Web { alarm, address, adoption, stop: Some(stop), _serving: serving, _working: working, _waking: waking })
    }

    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What hands connections over.
    pub fn adoption(&self) -> Adoption {
        self.adoption.clone()
    }

    /// Asks whether connections are still served.
    pub fn ask(&self) {
        self.alarm.ask_pulse();
    }

    /// Whether they have been since that was asked.
    pub fn is_answered(&self) -> bool {
        self.alarm.has_pulse()
    }

    /// Lets nobody else in; those inside stay.
    pub fn close_door(&self) {
        self.alarm.close();
    }
}

/// Hands over connections on which messages of MCP come, one a line, from somebody who may do everything.
#[derive(Clone)]
pub struct Adoption {
    to_adopt: Sender<Adopted>,
    alarm: Arc<Alarm>,
    places: Arc<AtomicUsize>,
}

impl Adoption {
    /// `early` was read of the stream already, and `first` is written before anything else.
    ///
    /// # Errors
    /// Too many wait to be taken over, or nobody takes them any more.
    pub fn hand_over(&self, stream: UnixStream, early: Vec<u8>, first: Vec<u8>) -> io::Result<()> {
        let Some(place) = Place::take(&self.places) else {
            return Err(io::Error::other(format!("{LINES_MAX} connections of MCP are open already")));
        };
        let handed = self.to_adopt.try_send(Adopted { stream, early, first, place });
        handed.map_err(|_| io::Error::other("too many connections wait to be taken over"))?;
        self.alarm.ring();
        Ok(())
    }
}

fn waited_for(listener: TcpListener, poll: &Poll) -> io::Result<mio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    Ok(listener)
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop = None;
        self.alarm.leave();
    }
}
