//! The one binary: everything is decided in `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    claude_comms::cli::run(std::env::args_os())
}
