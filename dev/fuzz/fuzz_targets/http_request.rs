//! The head of a request and the body behind it, in whatever pieces they come.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| claude_comms::web::fuzzing::request(bytes));
