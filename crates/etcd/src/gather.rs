//! Reads a busy connection in few large steps instead of many small ones.
//!
//! etcd sends a snapshot in TLS records of 16 KiB. Whoever reads each as soon as it is there is woken 60,000 times for
//! a GB, and on a small machine that is time that etcd does not have to send more. So once much has come, a reader that
//! has read all there was lets the kernel gather what comes for a moment.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// From here on a connection is busy: small answers are read without delay.
const BUSY_BYTES: u64 = 1 << 20;

/// 600 KB of a stream of 300 MB/s, a fifth of what HTTP/2 lets come meanwhile.
const MOMENT: Duration = Duration::from_millis(2);

/// What a connection is waiting for.
enum Waiting {
    /// Nothing: there may be more to read at once.
    No,
    /// All that was there has been read.
    ForData,
    /// Something has come, and more is to come with it.
    AMoment,
}

/// A connection that gathers what it reads.
pub(crate) struct Gather<S> {
    inner: S,
    read_bytes: u64,
    waiting: Waiting,
    moment: Pin<Box<Sleep>>,
}

impl<S> Gather<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, read_bytes: 0, waiting: Waiting::No, moment: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.waiting, Waiting::ForData) && this.read_bytes >= BUSY_BYTES {
            this.waiting = Waiting::AMoment;
            this.moment.as_mut().reset(Instant::now() + MOMENT);
        }
        if matches!(this.waiting, Waiting::AMoment) {
            ready!(this.moment.as_mut().poll(context));
        }
        this.waiting = Waiting::No;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(context, buffer);
        match read {
            Poll::Pending => this.waiting = Waiting::ForData,
            Poll::Ready(_) => this.read_bytes += (buffer.filled().len() - before) as u64,
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_is_read_at_once() {
        let (mut theirs, ours) = duplex(1 << 16);
        let mut ours = Gather::new(ours);
        let begun = Instant::now();
        for _ in 0..100 {
            let (written, read) = tokio::join!(theirs.write_all(b"answer"), async {
                let mut answer = [0; 6];
                ours.read_exact(&mut answer).await.map(|_| answer)
            });
            written.unwrap();
            assert_eq!(read.unwrap(), *b"answer");
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_one_is_read_in_steps_and_whole() {
        let sent: Vec<u8> = (0..4 * BUSY_BYTES).map(|at| (at % 251) as u8).collect();
        let (mut theirs, ours) = duplex(1 << 18);
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            for record in sent.chunks(1 << 14) {
                theirs.write_all(record).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let begun = Instant::now();
        let mut received = Vec::new();
        Gather::new(ours).read_to_end(&mut received).await.unwrap();
        writer.await.unwrap();
        assert!(received == expected);
        // Records of 16 KiB one by one would be a moment each: 192 of them.
        let moments = begun.elapsed().as_millis();
        assert!((10..100).contains(&moments), "{moments}");
    }
}
