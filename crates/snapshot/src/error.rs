use std::io;

/// Said where the content matches its checksum but is not sound: the damage is older than the file.
const MEMBER_DAMAGED: &str = "the file is what the member sent, so the member's own database is damaged: \
    save from another member, and check this one";

/// Said where the file is not what the member sent.
const FILE_DAMAGED: &str = "the file is damaged or was not completely written: use another snapshot";

/// Why a file was not accepted as a sound etcd snapshot.
///
/// The messages do not name the file, which the reader does not know; callers add its path.
/// Pages are bbolt's, counted from 0; page `n` begins at byte `n` times the page size.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file could not be read.
    #[error(
        "cannot read the snapshot at byte {offset}: {source}; check the volume and the file's permissions, \
         then verify again"
    )]
    Read {
        /// Where, in bytes from the beginning of the file.
        offset: u64,
        /// What the operating system said.
        source: io::Error,
    },

    /// The file has no content.
    #[error("the snapshot is empty; {FILE_DAMAGED}")]
    Empty,

    /// The size is not that of whole disk sectors and a SHA-256 (512 n + 32).
    #[error(
        "{bytes} bytes is not the size of an etcd snapshot, whole pages and a checksum of 32 bytes: either the file \
         was cut short, or it is a `db` file copied from a data directory, which nothing protects; use another snapshot"
    )]
    SizeInvalid {
        /// The size of the file in bytes.
        bytes: u64,
    },

    /// One of the two meta pages is not what a snapshot begins with.
    #[error("meta page {page}: {problem}; {FILE_DAMAGED}")]
    MetaPageInvalid {
        /// 0 or 1.
        page: u64,
        /// What is wrong with it.
        problem: String,
    },

    /// The database has more pages than this reader can check in its bounded memory.
    #[error("the database says it has {pages} pages, more than the {limit} that can be checked; {FILE_DAMAGED}")]
    TooLarge {
        /// Pages, as the meta page says.
        pages: u64,
        /// Pages that can be checked.
        limit: u64,
    },

    /// The file is shorter or longer than its meta pages say.
    #[error("the content has {content_bytes} bytes where its meta page says {expected_bytes}; {FILE_DAMAGED}")]
    SizeMismatch {
        /// Bytes before the checksum.
        content_bytes: u64,
        /// Pages times page size.
        expected_bytes: u64,
    },

    /// The content is not what the member sent.
    #[error("the SHA-256 of the content is {computed}, but {recorded} was recorded when it was saved; {FILE_DAMAGED}")]
    ChecksumMismatch {
        /// SHA-256 of the content, in hex.
        computed: String,
        /// The last 32 bytes of the file, in hex.
        recorded: String,
    },

    /// The list of free pages is not sound.
    #[error("freelist page {page}: {problem}; {MEMBER_DAMAGED}")]
    FreelistInvalid {
        /// The page.
        page: u64,
        /// What is wrong with it.
        problem: String,
    },

    /// A page of a bucket is not sound.
    #[error("page {page}: {problem}; {MEMBER_DAMAGED}")]
    PageInvalid {
        /// The page.
        page: u64,
        /// What is wrong with it.
        problem: String,
    },

    /// Two places in the tree lead to the same page.
    #[error("page {page} is part of two places of the tree; {MEMBER_DAMAGED}")]
    PageReachedTwice {
        /// The page.
        page: u64,
    },

    /// A page in use is in the list of free pages.
    #[error("page {page} is in use and in the list of free pages; {MEMBER_DAMAGED}")]
    PageFreeAndUsed {
        /// The page.
        page: u64,
    },

    /// A page is neither in use nor in the list of free pages.
    #[error("page {page} is neither in use nor in the list of free pages; {MEMBER_DAMAGED}")]
    PageUnaccounted {
        /// The first such page.
        page: u64,
    },

    /// A key is not greater than the one before it, or outside the range its parent page gives.
    #[error("page {page}, key {index}: {problem}; {MEMBER_DAMAGED}")]
    KeyOrder {
        /// The page.
        page: u64,
        /// The key's place in the page, from 0.
        index: u16,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// A bucket that every etcd database has is not there.
    #[error("there is no bucket `{bucket}`: this is not the database of an etcd member; use another snapshot")]
    BucketMissing {
        /// Its name.
        bucket: &'static str,
    },

    /// An entry does not decode as what etcd writes into its bucket.
    #[error("bucket `{bucket}`, page {page}, entry {index}: {problem}; {MEMBER_DAMAGED}")]
    EntryInvalid {
        /// The bucket's name.
        bucket: String,
        /// The page.
        page: u64,
        /// The entry's place in the page, from 0.
        index: u16,
        /// What is wrong with it.
        problem: String,
    },

    /// Whoever watched the verification ended it.
    #[error("the verification was stopped before it had an answer; nothing is concluded: verify again")]
    Stopped,
}

impl SnapshotError {
    /// The one word for metric labels, events and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ReadFailed",
            Self::Empty => "Empty",
            Self::SizeInvalid { .. } => "SizeInvalid",
            Self::MetaPageInvalid { .. } => "MetaPageInvalid",
            Self::TooLarge { .. } => "TooLarge",
            Self::SizeMismatch { .. } => "SizeMismatch",
            Self::ChecksumMismatch { .. } => "ChecksumMismatch",
            Self::FreelistInvalid { .. } => "FreelistInvalid",
            Self::PageInvalid { .. } => "PageInvalid",
            Self::PageReachedTwice { .. } => "PageReachedTwice",
            Self::PageFreeAndUsed { .. } => "PageFreeAndUsed",
            Self::PageUnaccounted { .. } => "PageUnaccounted",
            Self::KeyOrder { .. } => "KeyOrder",
            Self::BucketMissing { .. } => "BucketMissing",
            Self::EntryInvalid { .. } => "EntryInvalid",
            Self::Stopped => "Stopped",
        }
    }
}
