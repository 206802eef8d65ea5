//! Tables whose columns line up, as plain text or as Markdown.

/// On which side the cells of a column begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(cells.into());
    }

    /// As plain text, two spaces between the columns.
    pub fn plain(&self) -> String {
        self.lines().map(|cells| format!("{}\n", cells.join("  ").trim_end())).collect()
    }

    /// As a table of Markdown, which is readable as it stands too.
    pub fn markdown(&self) -> String {
        let rule = |(&width, &(_, align)): (&usize, &(_, Align))| match align {
            Align::Left => "-".repeat(width.max(3)),
            Align::Right => format!("{}:", "-".repeat(width.max(3) - 1)),
        };
        let widths = self.widths();
        let rule: Vec<String> = widths.iter().zip(&self.columns).map(rule).collect();
        let mut lines = self.lines();
        let head = lines.next();
        let lines = head.into_iter().chain([rule]).chain(lines);
        lines.map(|cells| format!("| {} |\n", cells.join(" | "))).collect()
    }

    /// The titles and the rows, filled up to the columns' widths.
    fn lines(&self) -> impl Iterator<Item = Vec<String>> {
        let widths = self.widths();
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        std::iter::once(titles).chain(self.rows.iter().cloned()).map(move |cells| {
            let cells = cells.iter().zip(&widths).zip(&self.columns);
            cells
                .map(|((cell, &width), (_, align))| match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                })
                .collect()
        })
    }

    fn widths(&self) -> Vec<usize> {
        let width = |i: usize, title: &str| {
            self.rows.iter().map(|row| row[i].chars().count()).fold(title.chars().count(), usize::max).max(3)
        };
        self.columns.iter().enumerate().map(|(i, (title, _))| width(i, title)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("name", Align::Left), ("ms", Align::Right)]);
        table.row(["conv1".into(), "1.25".into()]);
        table.row(["é".into(), "10.5".into()]);
        table
    }

    #[test]
    fn columns_line_up() {
        assert_eq!(table().plain(), "name     ms\nconv1  1.25\né      10.5\n");
    }

    #[test]
    fn markdown_has_a_rule_that_aligns_numbers() {
        assert_eq!(
            table().markdown(),
            "| name  |   ms |\n| ----- | ---: |\n| conv1 | 1.25 |\n| é     | 10.5 |\n"
        );
    }
}
