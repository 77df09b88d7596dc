//! Colours, on a terminal only.

use std::env;
use std::io::{self, IsTerminal as _};

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// A heading.
    Heading,
    /// As it should be.
    Good,
    /// To be looked at.
    Notice,
    /// Wrong.
    Bad,
}

/// Whether tones become colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(crate) const OFF: Self = Self(false);

    /// Colours if standard output is a terminal that has them and nobody objects (<https://no-color.org>).
    pub(crate) fn of_stdout() -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        Self(io::stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb"))
    }

    /// The text in its tone.
    #[must_use]
    pub(crate) fn of(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.0 || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Notice => "33",
            Tone::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_end_where_the_text_ends() {
        assert_eq!(Paint(true).of(Tone::Bad, "Failed"), "\u{1b}[31mFailed\u{1b}[0m");
        assert_eq!(Paint(true).of(Tone::Plain, "text"), "text");
        assert_eq!(Paint::OFF.of(Tone::Bad, "Failed"), "Failed");
    }
}
