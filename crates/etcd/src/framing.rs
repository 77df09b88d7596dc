/// The trailer: SHA-256 of all before it.
pub(crate) const TRAILER_BYTES: u64 = 32;

/// Most bytes of data in one message. etcd sends 32 KiB (`snapshotSendBufferSize`); the messages
/// that wait to be written are bounded by their number, so each must be bounded too.
const MAX_MESSAGE_BYTES: u64 = 256 << 10;

/// etcd's database file is whole pages, and a page is a multiple of this.
const SECTOR_BYTES: u64 = 512;

/// The order in which a snapshot's messages must come, by etcd's `Maintenance.Snapshot` of 3.4 to
/// 3.7 (maintenance.go): messages with data, each with the number of data bytes still to come after
/// it, down to zero; then one closing message with the 32 bytes of SHA-256; then the end.
#[derive(Debug)]
pub(crate) struct Framing {
    content_bytes: u64,
    received: u64,
    closed: bool,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Data.
    Data,
    /// Nothing. etcd sends such messages without end once it fails to read its own database,
    /// because it does not look at the error of bbolt's WriteTo.
    Empty,
    /// The closing message.
    Trailer,
}

impl Framing {
    /// From the first message, which is not yet taken for received: its data and what remains are
    /// all the data.
    pub(crate) fn announced_by(remaining_bytes: u64, blob_bytes: usize) -> Result<Self, String> {
        let content_bytes =
            remaining_bytes.checked_add(blob_bytes as u64).ok_or("it announces more than 2^64 bytes")?;
        if content_bytes == 0 || !content_bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(format!("it announces {content_bytes} bytes, which cannot be an etcd database"));
        }
        Ok(Self { content_bytes, received: 0, closed: false })
    }

    /// Bytes of the database.
    pub(crate) fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Bytes of the whole file, the trailer included.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.content_bytes.saturating_add(TRAILER_BYTES)
    }

    /// Bytes received of it.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received + if self.closed { TRAILER_BYTES } else { 0 }
    }

    /// Takes the next message.
    pub(crate) fn accept(&mut self, remaining_bytes: u64, blob_bytes: usize) -> Result<Part, String> {
        let blob_bytes = blob_bytes as u64;
        if self.closed {
            return Err(format!("a message of {blob_bytes} bytes came after the closing one"));
        }
        if blob_bytes > MAX_MESSAGE_BYTES {
            return Err(format!("a message of {blob_bytes} bytes came, etcd sends at most 32 KiB in one"));
        }
        let left = self.content_bytes - self.received;
        if left == 0 {
            if (remaining_bytes, blob_bytes) != (0, TRAILER_BYTES) {
                return Err(format!(
                    "the closing message has {blob_bytes} bytes and announces {remaining_bytes}, not {TRAILER_BYTES} and none"
                ));
            }
            self.closed = true;
            return Ok(Part::Trailer);
        }
        let expected = left.checked_sub(blob_bytes).ok_or_else(|| {
            format!("{blob_bytes} bytes came where only {left} of the announced {} were left", self.content_bytes)
        })?;
        if remaining_bytes != expected {
            return Err(format!("the member says that {remaining_bytes} bytes remain where {expected} should"));
        }
        self.received += blob_bytes;
        Ok(if blob_bytes == 0 { Part::Empty } else { Part::Data })
    }

    /// Takes the stream's end.
    pub(crate) fn end(&self) -> Result<(), String> {
        if self.closed { Ok(()) } else { Err("it ended without the closing message".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds messages (remaining, blob), the first of which announces; `Ok` is the number of bytes
    /// of a whole snapshot.
    fn read(messages: &[(u64, usize)]) -> Result<u64, String> {
        let (remaining, blob) = messages[0];
        let mut framing = Framing::announced_by(remaining, blob)?;
        for (remaining, blob) in messages {
            framing.accept(*remaining, *blob)?;
        }
        framing.end()?;
        assert_eq!(framing.received_bytes(), framing.size_bytes());
        Ok(framing.size_bytes())
    }

    #[test]
    fn whole_snapshots_pass() {
        for (messages, expected) in [
            (vec![(0, 4096), (0, 32)], 4128),
            (vec![(4096, 4096), (0, 4096), (0, 32)], 8224),
            (vec![(4096, 0), (4096, 0), (0, 4096), (0, 32)], 4128),
        ] {
            assert_eq!(read(&messages), Ok(expected));
        }
    }

    #[test]
    fn whatever_breaks_the_protocol_is_refused() {
        for (case, messages, complaint) in [
            ("nothing", vec![(0, 0)], "announces 0 bytes"),
            ("no whole pages", vec![(0, 4097), (0, 32)], "announces 4097 bytes"),
            ("overflow", vec![(u64::MAX, 1)], "more than 2^64"),
            ("cut before the closing message", vec![(0, 4096)], "without the closing message"),
            ("cut in the data", vec![(4096, 4096)], "without the closing message"),
            ("bytes lost", vec![(8192, 4096), (0, 4096), (0, 32)], "0 bytes remain where 4096"),
            ("bytes doubled", vec![(4096, 4096), (4096, 4096), (0, 4096)], "4096 bytes remain where 0"),
            ("too much", vec![(4096, 4096), (0, 8192)], "only 4096 of the announced 8192"),
            ("a huge message", vec![(0, 1 << 20), (0, 32)], "a message of 1048576 bytes"),
            ("short hash", vec![(0, 4096), (0, 31)], "has 31 bytes"),
            ("hash with more to come", vec![(0, 4096), (512, 32)], "announces 512"),
            ("two closing messages", vec![(0, 4096), (0, 32), (0, 32)], "after the closing one"),
        ] {
            let error = read(&messages).unwrap_err();
            assert!(error.contains(complaint), "{case}: {error}");
        }
    }

    #[test]
    fn an_empty_message_is_no_data() {
        let mut framing = Framing::announced_by(4096, 4096).unwrap();
        assert_eq!(framing.accept(4096, 4096), Ok(Part::Data));
        assert_eq!(framing.accept(4096, 0), Ok(Part::Empty));
        assert_eq!(framing.received_bytes(), 4096);
    }
}
