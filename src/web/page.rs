//! The page at `/`: one file, which loads nothing from anywhere else and may not.

use super::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const PAGE: &str = include_str!("page.html");

/// Only the script and the style that stand in the file itself run, word for word, and they talk to nobody but us.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        source(PAGE, "script"),
        source(PAGE, "style"),
    )
});

pub(super) fn response() -> Response {
    Response::new(200, "text/html; charset=utf-8", PAGE)
        .with("Content-Security-Policy", &POLICY)
        .with("Cross-Origin-Opener-Policy", "same-origin")
        .with("Cross-Origin-Resource-Policy", "same-origin")
}

/// What stands in the one element of that name, as a policy names it.
fn source(page: &str, element: &str) -> String {
    let after = page.split_once(&format!("<{element}>")).map_or("", |(_, after)| after);
    let inside = after.split_once(&format!("</{element}>")).map_or("", |(inside, _)| inside);
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(inside.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_what_stands_in_the_page_and_nothing_else() {
        assert_eq!(
            source("<b><script>alert(1)</script></b>", "script"),
            "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
        );
        for element in ["<script", "<style"] {
            assert_eq!(PAGE.matches(element).count(), 1, "{element}");
        }
        assert!(!POLICY.contains("unsafe"), "{}", *POLICY);
    }

    #[test]
    fn the_page_is_small_and_needs_nobody() {
        assert!(PAGE.len() < 40 << 10, "{} bytes", PAGE.len());
        for word in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "src=", "@import", "url("]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert!(!PAGE.contains("http://") && !PAGE.contains("https://"));
    }
}
