//! Protocol Buffers' wire format, as far as etcd's messages use it.

use crate::SnapshotError;
use crate::blocks::{Blocks, Span};
use crate::tree::Entry;

/// One field of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Varint(u64, u64),
    /// Bytes are left where they are in the file: they may be many.
    Bytes(u64, Span),
    /// A number of fixed width, which etcd's messages do not have.
    Fixed(u64),
}

/// Greatest number of a field, by Protocol Buffers' encoding specification.
const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// What a field that is known has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Varint,
    Bytes,
    Message(&'static [(u64, Shape)]),
}

/// The fields of the message that lies at a span of the file, which belongs to `entry`.
pub(crate) struct Fields<'a, 'f> {
    blocks: &'a mut Blocks<'f>,
    rest: Span,
    entry: Entry<'a>,
}

impl<'a, 'f> Fields<'a, 'f> {
    pub(crate) fn new(blocks: &'a mut Blocks<'f>, message: Span, entry: Entry<'a>) -> Self {
        Self { blocks, rest: message, entry }
    }

    /// The next field, or none at the end of the message.
    pub(crate) fn next(&mut self) -> Result<Option<Field>, SnapshotError> {
        if self.rest.len() == 0 {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if !(1..=MAX_FIELD_NUMBER).contains(&number) {
            return Err(self.malformed());
        }
        Ok(Some(match tag & 7 {
            0 => Field::Varint(number, self.varint()?),
            1 => self.fixed(number, 8)?,
            2 => {
                let len = self.varint()?;
                Field::Bytes(number, self.take(len)?)
            }
            5 => self.fixed(number, 4)?,
            _ => return Err(self.malformed()),
        }))
    }

    /// Whether the rest of the message decodes and the fields that are known have their shapes.
    pub(crate) fn have(&mut self, shapes: &[(u64, Shape)]) -> Result<bool, SnapshotError> {
        while let Some(field) = self.next()? {
            let (Field::Varint(number, _) | Field::Bytes(number, _) | Field::Fixed(number)) = field;
            let known = shapes.iter().find(|(known, _)| *known == number);
            let fits = match (known, field) {
                (None, _)
                | (Some((_, Shape::Varint)), Field::Varint(..))
                | (Some((_, Shape::Bytes)), Field::Bytes(..)) => true,
                (Some((_, Shape::Message(shapes))), Field::Bytes(_, message)) => {
                    Fields::new(self.blocks, message, self.entry).have(shapes)?
                }
                _ => false,
            };
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fixed(&mut self, number: u64, bytes: u64) -> Result<Field, SnapshotError> {
        self.take(bytes)?;
        Ok(Field::Fixed(number))
    }

    fn take(&mut self, len: u64) -> Result<Span, SnapshotError> {
        if len > self.rest.len() {
            return Err(self.malformed());
        }
        let taken = Span { end: self.rest.start + len, ..self.rest };
        self.rest.start = taken.end;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, SnapshotError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if self.rest.len() == 0 {
                break;
            }
            let byte = self.blocks.chunk(self.rest)?[0];
            self.rest.start += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed())
    }

    fn malformed(&self) -> SnapshotError {
        self.entry.invalid("is not a protobuf message")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &[u8]) -> Result<Vec<Field>, SnapshotError> {
        let len = message.len() as u64;
        let span = Span { start: 0, end: len };
        let entry = Entry { bucket: b"key", key: b"k", key_span: span, value: span, page: 2, index: 0 };
        let mut blocks = Blocks::new(&message, len);
        let mut fields = Fields::new(&mut blocks, span, entry);
        let mut found = Vec::new();
        while let Some(field) = fields.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn reads_every_wire_type() {
        let message = [
            &[0x0a, 2, b'h', b'i'][..],
            &[0x10, 0xac, 0x02],
            &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x21, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x2d, 1, 2, 3, 4],
        ]
        .concat();
        let expected = vec![
            Field::Bytes(1, Span { start: 2, end: 4 }),
            Field::Varint(2, 300),
            Field::Varint(3, u64::MAX),
            Field::Fixed(4),
            Field::Fixed(5),
        ];
        assert_eq!(fields(&message).unwrap(), expected);
        assert_eq!(fields(&[]).unwrap(), vec![]);
    }

    #[test]
    fn refuses_what_is_cut_short_or_not_a_message() {
        let endless = [&[0x10][..], &[0x80; 10], &[0x01]].concat();
        for wrong in
            [&[0x0a, 3, b'h', b'i'][..], &[0x10], &[0x10, 0x80], &[0x00, 0], &[0x0b], &[0x0f], &[0x21, 1], &endless]
        {
            assert_eq!(fields(wrong).unwrap_err().reason(), "EntryInvalid", "{wrong:?}");
        }
    }
}
