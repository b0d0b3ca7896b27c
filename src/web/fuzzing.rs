//! What a fuzzer may reach of this room: requests, taken apart as the loop does it.

use super::body::Body;
use super::head::{HEAD_BYTES_MAX, Parsed, parse};
use super::response::Response;
use super::routes::{Route, route};
use super::shared::Settings;
use super::token::Tokens;
use crate::clock::Timestamp;

/// A request that comes in pieces, whose size the first byte says, is what it is when it comes at once.
///
/// # Panics
/// It is not.
pub fn request(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let piece = usize::from(*first).max(1);
    let at_once = taken(bytes, bytes.len().max(1));
    assert_eq!(at_once, taken(bytes, piece));
}

/// What came of each request, and how much of the bytes was left.
fn taken(bytes: &[u8], piece: usize) -> (Vec<String>, usize) {
    let settings = Settings::new(Tokens { full: "full".to_owned(), read_only: "read".to_owned() });
    let (mut input, mut rest, mut found) = (Vec::new(), bytes, Vec::new());
    let more = |input: &mut Vec<u8>, rest: &mut &[u8]| {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        input.extend_from_slice(now);
        *rest = later;
        !now.is_empty()
    };
    loop {
        match parse(&input) {
            Parsed::Partial => {
                assert!(input.len() < HEAD_BYTES_MAX);
                if !more(&mut input, &mut rest) {
                    return (found, 0);
                }
            }
            // What is wrong with a head may be seen before the whole of it has come.
            Parsed::Bad(_, _) => {
                found.push("bad".to_owned());
                return (found, 0);
            }
            Parsed::Whole { head, bytes } => {
                input.drain(..bytes);
                match route(&head, [127, 0, 0, 1].into(), &settings) {
                    Route::Message(may) => {
                        let Ok(mut body) = Body::of(&head) else {
                            found.push("no body".to_owned());
                            return (found, 0);
                        };
                        loop {
                            match body.take(&mut input) {
                                Ok(Some(body)) => break found.push(format!("{may:?} {body:?}")),
                                Ok(None) if more(&mut input, &mut rest) => {}
                                Ok(None) => return (found, 0),
                                Err((status, _)) => {
                                    found.push(status.to_string());
                                    return (found, 0);
                                }
                            }
                        }
                    }
                    Route::Answer(response) => {
                        let Response { status, .. } = response;
                        response.encode(Timestamp::from_micros(0), head.keep_alive, head.method == "HEAD");
                        found.push(status.to_string());
                        if head.has_body || !head.keep_alive {
                            return (found, 0);
                        }
                    }
                    Route::Work(_) => found.push("work".to_owned()),
                    Route::Upgrade(_) => {
                        found.push("upgrade".to_owned());
                        return (found, 0);
                    }
                }
            }
        }
    }
}
