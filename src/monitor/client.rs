//! One panel's connection: made, kept, and made again, on a thread of its own that tells what it hears.

use super::address::{Address, Find};
use super::frame::Frame;
use super::link::{Cut, Link, Next, Waiting};
use super::talk::Talk;
use super::tell::{Lost, Tell, Told, Why};
use crate::clock::{Clock, Tick};
use crate::resilience::{Backoff, Curve, Jitter, Ratio, Rng};
use crate::thread::{Bell, Joined, is_panicking};
use crossbeam_channel::Sender;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::Message;

/// 250 ms, doubled with each attempt up to 10 s, and anything down to nothing of that.
const BACKOFF: Backoff = Backoff {
    curve: Curve::Exponential { base: Duration::from_millis(250), factor: Ratio::times(2) },
    max_delay: Duration::from_secs(10),
    jitter: Jitter::Full,
};

/// How long a client waits for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// For the connection, handshake included.
    pub(crate) connect: Duration,
    /// For the greeting, before that is said.
    pub(crate) moment: Duration,
    /// For the greeting, before the connection is given up.
    pub(crate) greeting: Duration,
    /// Without a byte from the server, before it is pinged.
    pub(crate) silence: Duration,
    /// For a byte after that.
    pub(crate) pong: Duration,
    /// For the server's leave when we take ours.
    pub(crate) leave: Duration,
    /// What a connection must have lasted for the next to be tried at once.
    pub(crate) steady: Duration,
}

impl Timing {
    pub(crate) const USUAL: Timing = Timing {
        connect: Duration::from_secs(5),
        moment: Duration::from_secs(2),
        greeting: Duration::from_secs(10),
        silence: Duration::from_secs(20),
        pong: Duration::from_secs(10),
        leave: Duration::from_secs(1),
        steady: Duration::from_secs(5),
    };
}

/// Where the bearer token is, if there is one. A file is read anew for each connection: tokens change.
pub(crate) type Token = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What a client is to do.
pub(crate) struct Order {
    /// Which panel it tells of.
    pub(crate) panel: usize,
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) find: Option<Find>,
    pub(crate) talk: Talk,
    pub(crate) token: Option<Token>,
    pub(crate) timing: Timing,
}

/// A running client. It is told to end with [`Client::stop`], and then says so.
pub(crate) struct Client {
    stop: Arc<Bell>,
    thread: Joined<()>,
}

impl Client {
    /// # Errors
    /// The operating system has no thread or descriptor left to give.
    pub(crate) fn start(
        order: Order,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        told: Sender<Told>,
    ) -> io::Result<Client> {
        let stop = Arc::new(Bell::new()?);
        let bell = Arc::clone(&stop);
        let name = format!("mon-{}", order.name);
        let thread = Joined::spawn(name, move || {
            let mut teller = Teller { panel: order.panel, clock, told };
            let clock = Arc::clone(&teller.clock);
            let waiting = Waiting { clock: &*clock, stop: &bell };
            run(order, &waiting, &*rng, &mut teller);
        })?;
        Ok(Client { stop, thread })
    }

    /// Returns at once; the last that is told is [`Tell::Ended`].
    pub(crate) fn stop(&self) {
        self.stop.ring();
    }

    /// Waits for its end, if that has been told of. Otherwise it hangs in what nothing can interrupt, the look-up of a
    /// name, and is left behind: the process is about to end.
    pub(crate) fn leave(self, has_ended: bool) {
        if has_ended {
            let _ = self.thread.join();
        } else {
            std::mem::forget(self.thread);
        }
    }
}

/// Tells; and, whatever happens, says at the end that it was the end.
struct Teller {
    panel: usize,
    clock: Arc<dyn Clock>,
    told: Sender<Told>,
}

impl Teller {
    /// Waits while nobody looks. Whoever has gone for good is not to be told: then this client is ending too.
    fn tell(&mut self, tell: Tell) {
        drop(self.told.send(Told { panel: self.panel, at: self.clock.now(), tell }));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(if is_panicking() { Tell::Died } else { Tell::Ended });
    }
}

fn run(mut order: Order, waiting: &Waiting<'_>, rng: &dyn Rng, teller: &mut Teller) {
    let mut schedule = BACKOFF.schedule();
    let mut attempt = 1;
    loop {
        if let Some(found) = order.find.as_ref().and_then(Find::find).filter(|found| *found != order.address) {
            order.address = found.clone();
            teller.tell(Tell::Found { address: found });
        }
        teller.tell(Tell::Connecting { attempt });
        let begun = waiting.clock.tick();
        let Cut::Lost(why) = converse(&mut order, waiting, teller) else { return };
        let lasted = waiting.clock.tick().since(begun);
        if order.talk.is_greeted() && lasted >= order.timing.steady {
            schedule = BACKOFF.schedule();
            attempt = 0;
        }
        attempt += 1;
        let wished = wished_wait(&why);
        // What the server wishes counts, within what we would wait anyhow.
        let retry_in = schedule.next_delay(rng).max(wished.unwrap_or_default()).min(BACKOFF.max_delay);
        teller.tell(Tell::Lost(Lost { why, attempt, retry_in }));
        if waiting.pause(retry_in).is_err() {
            return;
        }
    }
}

/// One connection, from its beginning to its end.
fn converse(order: &mut Order, waiting: &Waiting<'_>, teller: &mut Teller) -> Cut {
    let mut link = match Link::dial(&order.address, order.timing.connect, waiting) {
        Ok(link) => link,
        Err(cut) => return cut,
    };
    let cut = listen(&mut link, order, waiting, teller);
    if matches!(cut, Cut::Stopped) {
        link.close(waiting.clock, order.timing.leave);
    }
    cut
}

fn listen(link: &mut Link, order: &mut Order, waiting: &Waiting<'_>, teller: &mut Teller) -> Cut {
    let token = order.token.as_ref().and_then(|token| token());
    let first = order.talk.begin(token.as_deref());
    let mut patience = Patience::new(order.timing, waiting.clock.tick());
    if let Err(why) = first.map_or(Ok(()), |first| say(link, &first)) {
        return why.into();
    }
    loop {
        let next = match link.next(patience.deadline(), waiting) {
            Ok(next) => next,
            Err(cut) => return patience.explain(cut),
        };
        let now = waiting.clock.tick();
        let heard = match next {
            Next::Message(message) => {
                patience.heard(now);
                hear(&message, link, order, teller)
            }
            Next::Sign => {
                patience.heard(now);
                Ok(())
            }
            Next::Nothing => match patience.over(now) {
                Step::Wait => Ok(()),
                Step::SayThatNothingComes => {
                    teller.tell(Tell::NoWelcome);
                    Ok(())
                }
                Step::Ping => {
                    let again = order.talk.ask_again();
                    link.send(Message::Ping(Vec::new().into())).and_then(|()| again.map_or(Ok(()), |it| say(link, &it)))
                }
                Step::GiveUp(why) => Err(why),
            },
        };
        if let Err(why) = heard {
            return why.into();
        }
        if order.talk.is_greeted() {
            patience.greeted();
        }
    }
}

fn hear(message: &[u8], link: &mut Link, order: &mut Order, teller: &mut Teller) -> Result<(), Why> {
    let Some(frame) = Frame::parse(message) else {
        teller.tell(Tell::Junk);
        return Ok(());
    };
    let heard = order.talk.hear(frame);
    if let Some(tell) = heard.tell {
        teller.tell(tell);
    }
    heard.say.iter().try_for_each(|said| say(link, said))?;
    heard.turned_away.map_or(Ok(()), |said| Err(Why::WantsToken(said)))
}

fn say(link: &mut Link, what: &serde_json::Value) -> Result<(), Why> {
    link.send(Message::Text(what.to_string().into()))
}

/// What to do when the deadline has come.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Wait,
    SayThatNothingComes,
    Ping,
    GiveUp(Why),
}

/// How long this connection may still be silent.
struct Patience {
    timing: Timing,
    began: Tick,
    last_byte: Tick,
    is_greeted: bool,
    /// It was said that no greeting has come.
    has_said: bool,
    pinged: bool,
}

impl Patience {
    fn new(timing: Timing, now: Tick) -> Patience {
        Patience { timing, began: now, last_byte: now, is_greeted: false, has_said: false, pinged: false }
    }

    fn heard(&mut self, now: Tick) {
        self.last_byte = now;
        self.pinged = false;
    }

    fn greeted(&mut self) {
        self.is_greeted = true;
    }

    fn deadline(&self) -> Tick {
        let silent = self.last_byte.after(self.timing.silence);
        match (self.is_greeted, self.has_said) {
            (true, _) if self.pinged => silent.after(self.timing.pong),
            (true, _) => silent,
            (false, false) => self.began.after(self.timing.moment),
            (false, true) => self.began.after(self.timing.greeting),
        }
    }

    fn over(&mut self, now: Tick) -> Step {
        if now < self.deadline() {
            return Step::Wait;
        }
        match (self.is_greeted, self.has_said) {
            (true, _) if self.pinged => Step::GiveUp(Why::Silent(self.timing.silence + self.timing.pong)),
            (true, _) => {
                self.pinged = true;
                Step::Ping
            }
            (false, false) => {
                self.has_said = true;
                Step::SayThatNothingComes
            }
            (false, true) => Step::GiveUp(Why::WantsToken("it does not greet us".to_owned())),
        }
    }

    /// One that hangs up on us without a word, after we said none, most likely waited for a token.
    fn explain(&self, cut: Cut) -> Cut {
        match cut {
            Cut::Lost(Why::Closed(said)) if !self.is_greeted && self.has_said => Cut::Lost(Why::WantsToken(said)),
            cut => cut,
        }
    }
}

/// A server that stops may say when to come back.
fn wished_wait(why: &Why) -> Option<Duration> {
    let Why::Closed(said) = why else { return None };
    let (_, rest) = said.split_once("retry_after_ms")?;
    let digits: String =
        rest.chars().skip_while(|char| !char.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_millis)
}
