//! Text in columns that line up.

use crate::paint::{Paint, Tone};

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in a tone; nothing is shown as `-`.
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        let text = text.into();
        Self { text: if text.is_empty() { "-".to_owned() } else { text }, tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A heading and rows, each with a cell for each word of the heading. Columns are padded before they are
/// painted: colours take no room.
#[must_use]
pub(crate) fn table(heading: &[&str], rows: &[Vec<Cell>], paint: Paint) -> String {
    let heading: Vec<Cell> = heading.iter().map(|word| Cell::new(*word, Tone::Heading)).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).chain(heading.get(column));
        cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default()
    };
    let line = |cells: &[Cell]| {
        let last = cells.len().saturating_sub(1);
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let gap = if column == last { 0 } else { width(column) - cell.text.chars().count() + 3 };
            format!("{}{:gap$}", paint.of(cell.tone, &cell.text), "")
        });
        padded.collect::<String>()
    };
    let lines: Vec<String> = [line(&heading)].into_iter().chain(rows.iter().map(|row| line(row))).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_is_a_dash() {
        let rows = [vec![Cell::from("a"), Cell::new("Ready", Tone::Good)], vec![Cell::from("longer"), Cell::from("")]];
        assert_eq!(table(&["NAME", "STATE"], &rows, Paint::OFF), "NAME     STATE\na        Ready\nlonger   -");
    }
}
