//! Where a snapshot is read from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::Advice;

/// Bytes that can be read at any offset.
pub trait Source: Sync {
    /// How many bytes there are.
    ///
    /// # Errors
    /// What the operating system says.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills `buffer` with what begins at `offset`.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::UnexpectedEof`] if there are not that many bytes.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Says that so many bytes from `offset` will soon be read; maybe in another thread than that which reads. What
    /// cannot be read ahead need not do anything.
    fn will_need(&self, _offset: u64, _bytes: u64) {}
}

impl Source for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn will_need(&self, offset: u64, bytes: u64) {
        // Only advice: where the file system takes none, what is read later is merely slower.
        let _ = rustix::fs::fadvise(self, offset, bytes.try_into().ok(), Advice::WillNeed);
    }
}

impl Source for [u8] {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        match from.and_then(|rest| rest.get(..buffer.len())) {
            Some(found) => {
                buffer.copy_from_slice(found);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn bytes(&self) -> io::Result<u64> {
        (**self).bytes()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }

    fn will_need(&self, offset: u64, bytes: u64) {
        (**self).will_need(offset, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_and_memory_read_the_same() {
        let content: Vec<u8> = (0..=255).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        let sources: [&dyn Source; 2] = [&file, &content.as_slice()];
        for source in sources {
            assert_eq!(source.bytes().unwrap(), 256);
            source.will_need(0, 256);
            let mut four = [0; 4];
            source.read_exact_at(&mut four, 252).unwrap();
            assert_eq!(four, [252, 253, 254, 255]);
            for beyond in [253, 256, 257, 1 << 40] {
                let error = source.read_exact_at(&mut four, beyond).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{beyond}");
            }
        }
    }
}
