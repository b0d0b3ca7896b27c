//! The page at `/`: one file, which loads nothing from anywhere else and may not.

use super::response::Response;

const PAGE: &str = include_str!("page.html");
/// Only what stands in the file itself runs, and it talks to nobody but us.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn response() -> Response {
    Response::new(200, "text/html; charset=utf-8", PAGE).with("Content-Security-Policy", POLICY)
}
