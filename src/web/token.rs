//! Tokens: who has one may do more than look on.

use subtle::ConstantTimeEq;

/// What somebody may do. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rights {
    /// Nothing, before a token is shown.
    None,
    /// Follow events, which carry no contents.
    Events,
    /// See contents too.
    Read,
    /// Act.
    Full,
}

/// The secrets of this daemon.
#[derive(Clone)]
pub struct Tokens {
    pub full: String,
    pub read_only: String,
}

impl Tokens {
    /// What a token is good for. How long that takes says nothing about how much of it is right.
    pub(super) fn rights(&self, token: &str) -> Option<Rights> {
        let is = |secret: &str| !secret.is_empty() && bool::from(secret.as_bytes().ct_eq(token.as_bytes()));
        let (full, read_only) = (is(&self.full), is(&self.read_only));
        if full { Some(Rights::Full) } else { read_only.then_some(Rights::Read) }
    }
}

/// Without the secrets.
impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_what_it_was_made_for() {
        let tokens = Tokens { full: "f".repeat(43), read_only: "r".repeat(43) };
        assert_eq!(tokens.rights(&"f".repeat(43)), Some(Rights::Full));
        assert_eq!(tokens.rights(&"r".repeat(43)), Some(Rights::Read));
        for wrong in ["", "f", &"f".repeat(44)] {
            assert_eq!(tokens.rights(wrong), None);
        }
        assert_eq!(Tokens { full: String::new(), read_only: String::new() }.rights(""), None);
        assert_eq!(format!("{tokens:?}"), "Tokens");
    }
}
