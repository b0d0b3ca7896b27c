//! The one TCP port: HTTP heads, WebSocket subscribers, the numbers for Prometheus, and the page. One readiness loop
//! serves every connection; what may take a while is done beside it.

mod event_loop;
mod wake;

mod connection;
mod http;
mod session;

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
use crate::ports::{Asker, Exposition, Readers};
use crate::telemetry::Registry;
use crate::thread::Joined;
use crossbeam_channel::{Sender, bounded};
use event_loop::{EventLoop, LISTENER};
use mio::{Interest, Poll};
use shared::Shared;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use wake::{Alarm, Bell};
use work::{Desk, JOBS_MAX};

/// What the door is opened onto.
pub struct Means {
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
    address: SocketAddr,
    /// Dropped when what the desk waits for is not worth waiting for any more.
    stop: Option<Sender<()>>,
    // Dropped after the alarm was rung, in this order: the loop gives the desk its work, and ends it by going.
    _serving: Joined<()>,
    _working: Joined<()>,
    _waking: Waking,
}

impl Web {
    /// Starts to serve. `notices` are kept by the two threads and dropped when they end, by a panic too.
    ///
    /// # Errors
    /// No thread or no file descriptor is left.
    pub fn start<N: Send + 'static>(
        listener: TcpListener,
        settings: Settings,
        means: Means,
        notices: [N; 2],
    ) -> io::Result<Web> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let alarm = Arc::new(Alarm::new(&poll, Arc::clone(&means.clock))?);
        let waking = means.feed.wake(Box::new(Bell(Arc::clone(&alarm))));
        let (to_desk, jobs) = bounded(JOBS_MAX);
        let (done, from_desk) = bounded(JOBS_MAX);
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
                    now: clock.now(),
                    last_seq: feed.last_seq(),
                    last_at: Tick::ZERO,
                    clock,
                    feed,
                };
                EventLoop::new(poll, listener, alarm, to_desk, from_desk, shared).run();
            })?
        };
        Ok(Web { alarm, address, stop: Some(stop), _serving: serving, _working: working, _waking: waking })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nobody else in; those inside stay.
    pub fn close_door(&self) {
        self.alarm.close();
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop = None;
        self.alarm.leave();
    }
}
