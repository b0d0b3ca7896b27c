//! For doors of another kind: what a request of the control socket stands for, and how its answer is shown there, so that
//! each argument is checked and each thing shown in one way, wherever it was asked for.

use super::intake::{self, Defaults, Ids};
use super::wire::Request;
use super::{reads, replies};
use crate::clock::Clock;
use crate::model::command::{Command, Refusal, Reply};
use crate::ports::Reader;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Between requests of the control socket and whoever answers them.
#[derive(Clone)]
pub struct Translator {
    defaults: Defaults,
    clock: Arc<dyn Clock>,
}

/// What a request comes to.
#[derive(Debug)]
pub enum Meaning {
    /// Something for the hub.
    Command(Box<Command>),
    /// Something that is only looked up; see [`Translator::read`].
    Read,
    /// There is an id to be looked up first: ask again with a reader.
    Unresolved,
}

impl Translator {
    pub fn new(defaults: Defaults, clock: Arc<dyn Clock>) -> Translator {
        Translator { defaults, clock }
    }

    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// With a reader ids may be as short as a person types them; without one they are taken as they are when they are
    /// whole, and otherwise the meaning is [`Meaning::Unresolved`].
    ///
    /// # Errors
    /// What the request says cannot be meant; as the control socket refuses it.
    pub fn meaning(&self, request: &Request, reader: Option<&mut dyn Reader>) -> Result<Meaning, Refusal> {
        let mut ids = match reader {
            Some(reader) => Ids::Lent(reader),
            None => Ids::Without { missed: false },
        };
        let meant = self.command(request, &mut ids);
        if matches!(ids, Ids::Without { missed: true }) {
            return Ok(Meaning::Unresolved);
        }
        Ok(meant?.map_or(Meaning::Read, |command| Meaning::Command(Box::new(command))))
    }

    /// The command that a request stands for; `None` when it is a read.
    pub(super) fn command(&self, request: &Request, ids: &mut Ids<'_>) -> Result<Option<Command>, Refusal> {
        intake::command(request, &self.defaults, &*self.clock, ids)
    }

    /// What a request finds that only reads, a JSON object. Events are not read here.
    ///
    /// # Errors
    /// It is not there, the arguments are wrong, or the store cannot be read.
    pub fn read(&self, request: &Request, reader: &mut dyn Reader) -> Result<Box<RawValue>, Refusal> {
        reads::answer(request, reader)
    }

    /// The hub's answer as the control socket shows it, a JSON object.
    ///
    /// # Errors
    /// It is one that needs more than itself to be shown: of `poll.status`, `upstream.metrics` or `workflow.wait`.
    pub fn shown(&self, reply: Reply) -> Result<Box<RawValue>, Refusal> {
        replies::show_alone(reply)
    }
}
