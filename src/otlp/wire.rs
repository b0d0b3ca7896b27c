//! The wire format of Protocol Buffers, as much of it as is needed: fields one after the other, each with its number and the
//! kind of what follows. <https://protobuf.dev/programming-guides/encoding/>

/// How the value of a field is written.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;
/// Most bytes that a number of 64 bits takes.
const VARINT_BYTES_MAX: usize = 10;

/// Writes a message.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn number(&mut self, field: u32, number: u64) {
        self.tag(field, VARINT);
        self.varint(number);
    }

    pub(super) fn fixed(&mut self, field: u32, number: u64) {
        self.tag(field, FIXED64);
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn double(&mut self, field: u32, number: f64) {
        self.fixed(field, number.to_bits());
    }

    /// Also when it is empty: where one of several fields is the value, none of them would be no value.
    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.tag(field, LENGTH);
        self.varint(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Several numbers of 64 bits as one field.
    pub(super) fn packed(&mut self, field: u32, numbers: impl ExactSizeIterator<Item = u64>) {
        self.tag(field, LENGTH);
        self.varint(8 * numbers.len() as u64);
        numbers.for_each(|number| self.bytes.extend_from_slice(&number.to_le_bytes()));
    }

    /// A message within this one. Its length goes in front of it once it is known, which moves it by a byte or a few:
    /// messages are small, and those around them are few.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer)) {
        self.tag(field, LENGTH);
        let start = self.bytes.len();
        write(self);
        let mut length = Writer::default();
        length.varint((self.bytes.len() - start) as u64);
        self.bytes.splice(start..start, length.bytes);
    }

    fn tag(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

/// What is no message, or not all of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a kind that nobody asks for here.
    Other,
}

/// The fields of a message, in their order; ends after the first that cannot be read.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Value<'_>), Unreadable>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let read = field(&mut rest).ok_or(Unreadable);
        if read.is_err() {
            rest = &[];
        }
        Some(read)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        VARINT => Value::Number(varint(rest)?),
        LENGTH => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(rest.split_off(..length)?)
        }
        FIXED64 => rest.split_off(..8).map(|_| Value::Other)?,
        FIXED32 => rest.split_off(..4).map(|_| Value::Other)?,
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..VARINT_BYTES_MAX {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
