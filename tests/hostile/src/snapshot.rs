//! What can be made of a snapshot's messages: each function here takes what the real member sent and
//! gives what is sent in its place.

use std::iter::{once, repeat, repeat_with};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tonic::Code;

/// One message of a snapshot.
pub type Message = etcd_client::proto::PbSnapshotResponse;
/// A whole snapshot: data, then the closing message with the SHA-256 of the data.
pub type Messages = Vec<Message>;
/// What is done, one after the other; the stream ends well after the last.
pub type Steps = Box<dyn Iterator<Item = Step> + Send>;

/// Part of a stream.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends a message.
    Send(Message),
    /// Lets time pass.
    Wait(Duration),
    /// Does nothing any more.
    Hang,
    /// Ends the stream with an error.
    Fail(Code, &'static str),
    /// Resets the stream (HTTP/2's RST_STREAM); the connection stays.
    Reset,
    /// Says that the connection takes no new requests (HTTP/2's GOAWAY), and goes on.
    GoAway,
    /// Closes the TCP connection.
    Cut,
}

/// As it came.
#[must_use]
pub fn honest(messages: Messages) -> Steps {
    Box::new(messages.into_iter().map(Step::Send))
}

/// The first half, then these steps.
#[must_use]
pub fn half_then(mut messages: Messages, then: impl Iterator<Item = Step> + Send + 'static) -> Steps {
    messages.truncate(messages.len() / 2);
    // What is sent must arrive before whatever comes next breaks the connection.
    Box::new(honest(messages).chain(once(Step::Wait(Duration::from_millis(100)))).chain(then))
}

/// All of it, then these steps.
#[must_use]
pub fn all_then(messages: Messages, then: impl Iterator<Item = Step> + Send + 'static) -> Steps {
    Box::new(honest(messages).chain(then))
}

/// The first half, then messages without data for ever, each after a pause. This is what etcd does
/// that cannot read its own database.
#[must_use]
pub fn half_then_empty(messages: Messages, pause: Duration) -> Steps {
    let last = &messages[messages.len() / 2 - 1];
    let empty = Message { blob: Vec::new(), ..last.clone() };
    let wait = once(Step::Wait(pause)).filter(move |_| !pause.is_zero());
    half_then(messages, repeat(()).flat_map(move |()| wait.clone().chain(once(Step::Send(empty.clone())))))
}

/// All of it, but never much at once: so many bytes in each message, and a pause after each.
#[must_use]
pub fn trickle(messages: Messages, bytes: usize, pause: Duration) -> Steps {
    Box::new(rechunk(messages, bytes).into_iter().flat_map(move |message| [Step::Send(message), Step::Wait(pause)]))
}

/// The same data in messages of so many bytes.
#[must_use]
pub fn rechunk(mut messages: Messages, bytes: usize) -> Messages {
    let closing = messages.pop();
    let data: Vec<u8> = messages.into_iter().flat_map(|message| message.blob).collect();
    let mut remaining = data.len();
    let message = |chunk: &[u8]| {
        remaining -= chunk.len();
        Message { remaining_bytes: remaining as u64, blob: chunk.to_vec(), ..Message::default() }
    };
    data.chunks(bytes).map(message).chain(closing).collect()
}

/// Each message says of what remains what this makes of it: given are the message's place and the
/// true number of bytes.
#[must_use]
pub fn announcing(mut messages: Messages, remaining: impl Fn(usize, u64) -> u64) -> Steps {
    let data = messages.len() - 1;
    for (place, message) in messages[..data].iter_mut().enumerate() {
        message.remaining_bytes = remaining(place, message.remaining_bytes);
    }
    honest(messages)
}

/// The closing message has other bytes.
#[must_use]
pub fn closing_with(mut messages: Messages, bytes: Vec<u8>) -> Steps {
    messages.pop();
    messages.push(Message { blob: bytes, ..Message::default() });
    honest(messages)
}

/// One bit of the data flipped, in the middle.
#[must_use]
pub fn flipped(mut messages: Messages) -> Messages {
    let middle = messages.len() / 2;
    messages[middle].blob[7] ^= 1;
    messages
}

/// The first page's header is zeroed, and the closing message agrees with that: this is what a damaged
/// database looks like on the wire.
#[must_use]
pub fn damaged_and_sealed(mut messages: Messages) -> Messages {
    messages.pop();
    // Both meta pages: one sound one would do.
    for page in 0..2 {
        let at = page * 4096;
        messages[0].blob[at..at + 64].fill(0);
    }
    let hash = messages.iter().fold(Sha256::new(), |hash, message| hash.chain_update(&message.blob)).finalize();
    messages.push(Message { blob: hash.to_vec(), ..Message::default() });
    messages
}

/// More of the same for ever.
#[must_use]
pub fn endless(messages: Messages) -> Steps {
    let more = messages[0].clone();
    all_then(messages, repeat_with(move || Step::Send(more.clone())))
}
