use std::fmt;
use std::str::FromStr;

/// The size of a database, in whole megabytes of 10^6 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    megabytes: u64,
}

impl Size {
    pub(crate) fn bytes(self) -> u64 {
        self.megabytes * 1_000_000
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match (text.strip_suffix("mb"), text.strip_suffix("gb")) {
            (Some(number), _) => number.parse().ok(),
            (_, Some(number)) => number.parse().ok().and_then(|gigabytes: u64| gigabytes.checked_mul(1000)),
            _ => None,
        };
        match parsed {
            Some(megabytes @ 1..=16_000) => Ok(Self { megabytes }),
            _ => Err("a size is 10mb or 1gb, from 1mb to 16gb".to_owned()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.megabytes {
            megabytes if megabytes.is_multiple_of(1000) => write!(f, "{}gb", megabytes / 1000),
            megabytes => write!(f, "{megabytes}mb"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in [("10mb", 10_000_000), ("1gb", 1_000_000_000), ("1500mb", 1_500_000_000)] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, text));
        }
        for text in ["", "10", "0mb", "17gb", "-1gb", "18446744073709551615gb", "1GB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }
}
