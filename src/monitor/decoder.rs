//! The bytes of a keyboard, read as keys.

use super::keys::Key;

/// Longest sequence that is put together, in bytes; what goes on beyond it is no key.
const SEQUENCE_BYTES_MAX: usize = 32;
const ESCAPE: u8 = 0x1b;

/// Puts keys together from bytes, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The beginning of a key.
    begun: Vec<u8>,
    pub(crate) keys: Vec<Key>,
}

/// What a few bytes are.
enum Read {
    /// So many of them are a key, or nothing that we know.
    Key(usize, Option<Key>),
    /// The beginning of something.
    Begun,
}

impl Decoder {
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        let mut rest = &self.begun[..];
        while let Read::Key(count, key) = first(rest) {
            self.keys.extend(key);
            rest = &rest[count..];
        }
        self.begun = if rest.len() < SEQUENCE_BYTES_MAX { rest.to_vec() } else { Vec::new() };
    }

    pub(crate) fn is_within_a_key(&self) -> bool {
        !self.begun.is_empty()
    }

    /// For a while: an escape that nothing follows is the key of that name.
    pub(crate) fn nothing_follows(&mut self) {
        if std::mem::take(&mut self.begun) == [ESCAPE] {
            self.keys.push(Key::Escape);
        }
    }
}

fn first(bytes: &[u8]) -> Read {
    match *bytes {
        [] | [ESCAPE] => Read::Begun,
        [ESCAPE, b'[', ref rest @ ..] => sequence(rest),
        [ESCAPE, b'O'] => Read::Begun,
        [ESCAPE, b'O', last, ..] => Read::Key(3, of_letter(last)),
        [ESCAPE, ESCAPE, ..] => Read::Key(1, Some(Key::Escape)),
        // A key that was pressed together with Alt.
        [ESCAPE, ref rest @ ..] => match plain(rest) {
            Read::Key(count, key) => Read::Key(count + 1, key),
            Read::Begun => Read::Begun,
        },
        _ => plain(bytes),
    }
}

/// What follows `ESC [`: parameters, and a letter that ends it.
fn sequence(rest: &[u8]) -> Read {
    // The function keys of the Linux console are another form.
    let skipped = usize::from(rest.first() == Some(&b'['));
    let Some(end) = rest[skipped..].iter().position(|byte| (0x40..=0x7e).contains(byte)) else { return Read::Begun };
    let (parameters, last) = (&rest[..skipped + end], rest[skipped + end]);
    let key = match last {
        _ if skipped > 0 => None,
        b'~' => match parameters.split(|byte| *byte == b';').next() {
            Some(b"1" | b"7") => Some(Key::Home),
            Some(b"4" | b"8") => Some(Key::End),
            Some(b"5") => Some(Key::PageUp),
            Some(b"6") => Some(Key::PageDown),
            _ => None,
        },
        last => of_letter(last),
    };
    Read::Key(2 + parameters.len() + 1, key)
}

fn of_letter(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'Z' => Key::BackTab,
        _ => return None,
    })
}

/// A key that is a character, or a control character.
fn plain(bytes: &[u8]) -> Read {
    let Some(&byte) = bytes.first() else { return Read::Begun };
    let key = match byte {
        b'\r' | b'\n' => Some(Key::Enter),
        b'\t' => Some(Key::Tab),
        0x08 | 0x7f => Some(Key::Backspace),
        0x01..=0x1a => Some(Key::Ctrl(char::from(byte - 1 + b'a'))),
        0x00..=0x1f => None,
        _ => return character(bytes),
    };
    Read::Key(1, key)
}

fn character(bytes: &[u8]) -> Read {
    let length = match bytes[0] {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        // The middle of a character.
        _ => return Read::Key(1, None),
    };
    let Some(whole) = bytes.get(..length) else { return Read::Begun };
    let char = std::str::from_utf8(whole).ok().and_then(|text| text.chars().next());
    if char.is_none() { Read::Key(1, None) } else { Read::Key(length, char.map(Key::Char)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys, whether the bytes come at once or one by one.
    fn keys(text: &str) -> Vec<Key> {
        let (mut at_once, mut one_by_one) = (Decoder::default(), Decoder::default());
        at_once.take(text.as_bytes());
        text.bytes().for_each(|byte| one_by_one.take(&[byte]));
        for decoder in [&mut at_once, &mut one_by_one] {
            decoder.nothing_follows();
            assert!(!decoder.is_within_a_key());
        }
        assert_eq!(at_once.keys, one_by_one.keys, "{text:?}");
        at_once.keys
    }

    #[test]
    fn what_terminals_send_is_read_as_the_key_that_was_pressed() {
        for (text, expected) in [
            ("q", &[Key::Char('q')][..]),
            ("\u{e4}\u{65e5}", &[Key::Char('\u{e4}'), Key::Char('\u{65e5}')]),
            ("\x03\x1a\x0c", &[Key::Ctrl('c'), Key::Ctrl('z'), Key::Ctrl('l')]),
            ("\r\t\x7f\x08", &[Key::Enter, Key::Tab, Key::Backspace, Key::Backspace]),
            ("\x1b[A\x1b[B\x1bOC\x1bOD", &[Key::Up, Key::Down, Key::Right, Key::Left]),
            ("\x1b[5~\x1b[6~\x1b[1~\x1b[4~", &[Key::PageUp, Key::PageDown, Key::Home, Key::End]),
            ("\x1b[H\x1bOF\x1b[Zj", &[Key::Home, Key::End, Key::BackTab, Key::Char('j')]),
            ("\x1b[1;5A\x1b[5;2~", &[Key::Up, Key::PageUp]),
            ("\x1b", &[Key::Escape]),
            ("\x1b\x1b[A", &[Key::Escape, Key::Up]),
            ("\x1bx", &[Key::Char('x')]),
        ] {
            assert_eq!(keys(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_key_of_ours_says_nothing_and_swallows_nothing() {
        for text in ["\x1bOP", "\x1b[[A", "\x1b[3~", "\x1b[<0;1;2M", "\x1b[?1;2c", "\x00", "\x1f"] {
            assert_eq!(keys(&format!("{text}q")), [Key::Char('q')], "{text:?}");
        }
        let mut decoder = Decoder::default();
        decoder.take(b"\xff\xc3(q");
        assert_eq!(decoder.keys, [Key::Char('('), Key::Char('q')]);
        decoder.take(&[b"\x1b[", &[b'1'; 100][..]].concat());
        assert!(!decoder.is_within_a_key());
    }
}
