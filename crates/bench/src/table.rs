//! What a benchmark hands back: tables of figures, printed for people, as Markdown, or as JSON.

use serde::Serialize;

/// The figures of one question.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    /// The benchmark it belongs to.
    pub(crate) benchmark: &'static str,
    /// What it answers.
    pub(crate) title: String,
    /// Headings, units included.
    pub(crate) columns: Vec<&'static str>,
    /// One figure a column.
    pub(crate) rows: Vec<Vec<Figure>>,
    /// What a reader must know to judge the figures.
    pub(crate) notes: Vec<String>,
    /// What is not as it must be, in words.
    pub(crate) failures: Vec<String>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Figure {
    /// A name.
    Text(String),
    /// A number of things.
    Count(u64),
    /// A measured value, shown with two digits after the point, or fewer.
    Number(f64),
    /// This system does not say, or the question does not arise.
    None(()),
}

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Aligned columns.
    Text,
    /// For `docs/benchmarks.md`.
    Markdown,
}

impl From<&str> for Figure {
    fn from(text: &str) -> Figure {
        Figure::Text(text.to_owned())
    }
}

impl From<u64> for Figure {
    fn from(count: u64) -> Figure {
        Figure::Count(count)
    }
}

impl From<f64> for Figure {
    fn from(number: f64) -> Figure {
        Figure::Number(number)
    }
}

impl<T: Into<Figure>> From<Option<T>> for Figure {
    fn from(figure: Option<T>) -> Figure {
        figure.map_or(Figure::None(()), Into::into)
    }
}

impl Figure {
    fn show(&self) -> String {
        match self {
            Figure::Text(text) => text.clone(),
            Figure::Count(count) => grouped(*count),
            Figure::Number(number) if number.abs() >= 1_000.0 => {
                format!("{number:.0}").parse().map_or_else(|_| number.to_string(), grouped)
            }
            Figure::Number(number) if number.abs() < 9.995 => format!("{number:.2}"),
            Figure::Number(number) => format!("{number:.1}"),
            Figure::None(()) => "–".to_owned(),
        }
    }
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(benchmark: &'static str, title: impl Into<String>, columns: &[&'static str]) -> Table {
        Table {
            benchmark,
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            notes: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds a row, one figure a column.
    pub(crate) fn row<const N: usize>(&mut self, figures: [Figure; N]) {
        self.rows.push(figures.into());
    }

    /// Adds a note.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds what is not as it must be.
    pub(crate) fn failure(&mut self, failure: impl Into<String>) {
        self.failures.push(failure.into());
    }

    /// The table as text.
    pub(crate) fn show(&self, style: Style) -> String {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Figure::show).collect()).collect();
        let width = |column: usize, heading: &str| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([heading.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(column, heading)| width(column, heading)).collect();
        // Names stand left, numbers right.
        let left = |column: usize| {
            self.rows.iter().any(|row| matches!(row.get(column), Some(Figure::Text(_))))
                || self.rows.is_empty()
        };
        let line = |cells: &[String]| -> String {
            let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if left(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let cells: Vec<String> = cells.collect();
            match style {
                Style::Text => cells.join("  ").trim_end().to_owned(),
                Style::Markdown => format!("| {} |", cells.join(" | ")),
            }
        };
        let headings: Vec<String> = self.columns.iter().map(|heading| (*heading).to_owned()).collect();
        let mut lines = match style {
            Style::Text => vec![self.title.clone(), String::new(), line(&headings)],
            Style::Markdown => {
                let rule = widths.iter().enumerate().map(|(column, width)| {
                    if left(column) {
                        format!(":{}", "-".repeat(width.saturating_add(1)))
                    } else {
                        format!("{}:", "-".repeat(width.saturating_add(1)))
                    }
                });
                let rule = format!("|{}|", rule.collect::<Vec<_>>().join("|"));
                vec![format!("### {}", self.title), String::new(), line(&headings), rule]
            }
        };
        lines.extend(rows.iter().map(|row| line(row)));
        if !self.notes.is_empty() || !self.failures.is_empty() {
            lines.push(String::new());
            lines.extend(self.notes.iter().map(|note| format!("- {note}")));
            lines.extend(self.failures.iter().map(|failure| format!("- FAILED: {failure}")));
        }
        lines.join("\n")
    }
}

/// `1234567` → `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Style, Table, grouped};

    #[test]
    fn tables_are_aligned_in_both_styles() {
        let mut table = Table::new("throughput", "How fast", &["target", "rows", "seconds"]);
        table.row(["sqlite".into(), 200_000.into(), 7.777.into()]);
        table.row(["postgres".into(), 1.into(), Option::<f64>::None.into()]);
        table.note("one run");
        assert_eq!(
            table.show(Style::Text),
            "How fast\n\ntarget       rows  seconds\nsqlite    200,000     7.78\npostgres        1        –\n\n- one run"
        );
        assert_eq!(
            table.show(Style::Markdown),
            "### How fast\n\n| target   |    rows | seconds |\n|:---------|--------:|--------:|\n\
             | sqlite   | 200,000 |    7.78 |\n| postgres |       1 |       – |\n\n- one run"
        );
    }

    #[test]
    fn numbers_are_read_in_threes() {
        let shown: Vec<String> = [0, 999, 1_000, 1_234_567].into_iter().map(grouped).collect();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
