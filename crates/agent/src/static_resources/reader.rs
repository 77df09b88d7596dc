use std::io::{self, Read};

/// Counts what is read from a file, and keeps the file's own errors apart from those of whoever
/// reads through it: tar and gzip report both as the same kind.
pub(super) struct Watched<R> {
    inner: R,
    pub(super) bytes: u64,
    pub(super) error: Option<io::Error>,
}

impl<R> Watched<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, bytes: 0, error: None }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.bytes += read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.error = Some(error);
                Err(io::Error::other("the file cannot be read"))
            }
        }
    }
}
