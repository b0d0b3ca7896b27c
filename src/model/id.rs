//! The names of things: one type per kind, so that a message's id cannot be passed for a task's.

use super::limits::NAME_BYTES_MAX;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: &str) -> $name {
                $name(Arc::from(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> $name {
                $name(Arc::from(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// A message. Foreign programs choose theirs freely; ours are UUIDs that sort by time.
    MessageId
);
id!(
    /// A thread of messages.
    ThreadId
);
id!(
    /// A task of ours, a UUID that sorts by time.
    TaskId
);
id!(
    /// A pool, named by its owner.
    PoolId
);
id!(
    /// A module: the name under which an agent's repository is known.
    ModuleName
);

id!(
    /// A workflow of ours, a UUID that sorts by time.
    WorkflowId
);

id!(
    /// An upstream, named by its owner.
    UpstreamName
);

/// Row number of a task: the order of submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskSeq(pub i64);

/// Row number of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub i64);

/// Who asked: chosen by the daemon, unique among the asks that are not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Fencing token: every claim of a task gets a greater one than all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Whether a name that a user may choose (a pool, a module, a key) is one: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= NAME_BYTES_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_short() {
        for good in ["a", "pool_1", "session-buddy", "9.x", &"a".repeat(64)] {
            assert!(is_name(good), "{good:?}");
        }
        for bad in ["", ".", "-a", "_a", "a b", "a/b", "ä", "..", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
