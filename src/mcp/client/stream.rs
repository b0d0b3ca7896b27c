//! Reading an answer from a stream of events, over a new connection when the server ends it early and says where to go on.

use super::error::CallError;
use super::exchange::Exchange;
use super::message::{Answer, answer_in, parsed};
use super::refusal::Refusal;
use super::reply::{Incoming, Reply};
use super::sse::Parser;
use crate::mcp::protocol::{Era, header};
use std::time::Duration;

/// How often one answer is asked for again.
const RESUMES_MAX: u32 = 5;
/// The wait before that when the server names none.
const RESUME_WAIT: Duration = Duration::from_secs(1);

/// A stream that is being read for the answer to one request.
pub(super) struct Reading<'a> {
    exchange: &'a Exchange<'a>,
    id: u64,
    parser: Parser,
    resumes: u32,
}

impl<'a> Reading<'a> {
    pub(super) fn new(exchange: &'a Exchange<'a>, id: u64) -> Reading<'a> {
        Reading { exchange, id, parser: Parser::default(), resumes: 0 }
    }

    pub(super) fn answer(mut self, body: Incoming) -> Result<Answer, Refusal> {
        let mut body = body;
        loop {
            let ended = match self.read(&mut body) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => self.exchange.disconnected("the stream ended early"),
                Err(error @ CallError::Disconnected { .. }) => error,
                Err(error) => return Err(error.into()),
            };
            body = self.resume(ended)?.body.after(body.bytes());
        }
    }

    /// Reads until the answer is there, and no further: the server may keep the stream open as long as it likes.
    fn read(&mut self, body: &mut Incoming) -> Result<Option<Answer>, CallError> {
        loop {
            let chunk = body.chunk()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            for event in self.parser.push(&chunk) {
                // An empty one only carries an id; of other kinds nothing is known.
                if event.data.trim_ascii().is_empty() || !matches!(event.name.as_str(), "" | "message") {
                    continue;
                }
                let message = parsed(event.data.as_bytes(), "").map_err(|reason| self.exchange.malformed(reason))?;
                if let Some(answer) = answer_in(message, self.id) {
                    return Ok(Some(answer));
                }
            }
        }
    }

    /// Asks for the rest of the stream.
    ///
    /// # Errors
    /// How it `ended`, if there is no rest to be had.
    fn resume(&mut self, ended: CallError) -> Result<Reply, Refusal> {
        let exchange = self.exchange;
        // The modern protocol knows no resuming: a stream that is closed is a request given up.
        if exchange.link.era == Era::Modern || self.parser.last_id().is_empty() || self.resumes == RESUMES_MAX {
            return Err(ended.into());
        }
        self.resumes += 1;
        let wait = self.parser.retry().unwrap_or(RESUME_WAIT);
        // What cannot be had in time is not worth waiting for.
        if wait >= exchange.transport.remaining(exchange.deadline)? {
            return Err(ended.into());
        }
        exchange.wait(wait)?;
        let mut headers = exchange.link.headers();
        headers.push((header::LAST_EVENT_ID.to_owned(), self.parser.last_id().to_owned()));
        self.parser.resume();
        let reply = exchange.transport.get(&headers, exchange.deadline)?;
        match reply.status {
            200 if reply.is_stream() => Ok(reply),
            // It has no such stream to offer.
            200 | 405 => Err(ended.into()),
            _ => Err(exchange.asked().refused(reply)),
        }
    }
}
