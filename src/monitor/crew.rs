//! The clients of all panels, started and ended together.

use super::client::{Client, Order, Timing, Token};
use super::settings::Settings;
use super::talk::Talk;
use super::tell::{Tell, Told};
use crate::clock::Clock;
use crate::resilience::SplitMix64;
use crate::service::Signal;
use crossbeam_channel::{Receiver, bounded, never, select};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// News that may wait to be shown; then clients read no further, and their servers hold back.
const NEWS_MAX: usize = 256;
/// How long clients may take to end beyond what they give their servers.
const MARGIN: Duration = Duration::from_secs(2);

pub(crate) struct Crew {
    clients: Vec<Client>,
    told: Receiver<Told>,
    timing: Timing,
}

impl Crew {
    /// # Errors
    /// The operating system has no thread or descriptor left to give.
    pub(crate) fn start(settings: &Settings, clock: &Arc<dyn Clock>) -> io::Result<Crew> {
        let (news, told) = bounded(NEWS_MAX);
        // It exists before its clients do: should a later one not start, the earlier ones are ended by its end.
        let mut crew = Crew { clients: Vec::new(), told, timing: settings.timing };
        let rng = Arc::new(SplitMix64::from_entropy());
        for (panel, of_panel) in settings.panels.iter().enumerate() {
            let order = Order {
                panel,
                name: of_panel.name.clone(),
                address: of_panel.address.clone(),
                find: of_panel.find.clone(),
                talk: Talk::new(of_panel.channel.clone(), settings.question()),
                token: token_of(settings, panel),
                timing: settings.timing,
            };
            crew.clients.push(Client::start(order, Arc::clone(clock), rng.clone(), news.clone())?);
        }
        Ok(crew)
    }

    pub(crate) fn told(&self) -> &Receiver<Told> {
        &self.told
    }

    /// Takes leave of all servers, with 1000, and waits for the clients to end, for a moment. A further signal ends
    /// the wait.
    pub(crate) fn finish(mut self, signals: Option<&Receiver<Signal>>) {
        let clients = std::mem::take(&mut self.clients);
        clients.iter().for_each(Client::stop);
        let mut ended = vec![false; clients.len()];
        let patience = crossbeam_channel::after(self.timing.leave + MARGIN);
        let none = never();
        while !ended.iter().all(|ended| *ended) {
            select! {
                recv(self.told) -> told => match told {
                    Ok(Told { panel, tell: Tell::Ended | Tell::Died, .. }) => ended[panel] = true,
                    Ok(_) => {}
                    Err(_) => break,
                },
                recv(signals.unwrap_or(&none)) -> signal => match signal {
                    Ok(Signal::Resized | Signal::Continued) => {}
                    Ok(_) | Err(_) => break,
                },
                recv(patience) -> _ => break,
            }
        }
        clients.into_iter().zip(ended).for_each(|(client, ended)| client.leave(ended));
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // Only when it was not finished: something went wrong, and nobody waits for leave to be taken.
        self.clients.iter().for_each(Client::stop);
        self.clients.drain(..).for_each(|client| client.leave(false));
    }
}

/// The token is the first server's, and told to no other.
fn token_of(settings: &Settings, panel: usize) -> Option<Token> {
    let (first, this) = (settings.panels.first()?, settings.panels.get(panel)?);
    let is_same = this.address.is_same_server(&first.address);
    settings.token.clone().filter(|_| is_same)
}
