//! Everything a person or a program reads: lines, tables and JSON on stdout, notes on stderr.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::path::Path;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use serde_json::Value;

use crate::cli::Global;

/// Lines above and below a table and under its header, none between the rows.
const RULES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// Where and how results go out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    verbose: bool,
    quiet: bool,
    mute: bool,
}

impl Output {
    pub(crate) fn new(&Global { json, verbose, quiet }: &Global) -> Output {
        Output { json, verbose, quiet, mute: false }
    }

    /// One that says nothing but errors.
    #[cfg_attr(not(feature = "mpi"), expect(dead_code, reason = "one process always speaks"))]
    pub(crate) fn mute(self) -> Output {
        Output { verbose: false, quiet: true, mute: true, ..self }
    }

    /// Whether more is asked for.
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }

    /// Whether nothing but errors is asked for.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a bar can be drawn on stderr.
    pub(crate) fn live(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// A line for people on stdout.
    pub(crate) fn line(&self, text: impl Display) {
        if !self.json && !self.mute {
            stdout(&format!("{text}\n"));
        }
    }

    /// A table for people on stdout.
    pub(crate) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) {
        self.line(table(header, rows));
    }

    /// The result for programs on stdout.
    pub(crate) fn value(&self, value: &Value) {
        if self.json && !self.mute {
            stdout(&format!("{value}\n"));
        }
    }

    /// Text that is itself the result, whatever the format.
    pub(crate) fn raw(&self, text: &str) {
        stdout(text);
    }

    /// A line on stderr, unless told to be quiet.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            stderr(&format!("{text}"));
        }
    }

    /// A line on stderr for those who ask for more.
    pub(crate) fn detail(&self, text: impl Display) {
        if self.verbose {
            stderr(&format!("{text}"));
        }
    }

    /// The one line of a failure: the error and its causes.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let mut text = error.to_string();
        for cause in error.chain().skip(1).map(ToString::to_string) {
            if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        let line = text.lines().map(str::trim).filter(|line| !line.is_empty());
        stderr(&format!("error: {}", line.collect::<Vec<_>>().join(" | ")));
    }
}

/// Columns that hold nothing but numbers are right-aligned, with their headers.
pub(crate) fn table(header: &[impl AsRef<str>], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(RULES).set_header(header.iter().map(AsRef::as_ref));
    let numeric = |text: &str| text.trim_end_matches('%').parse::<f64>().is_ok() || text == "-";
    for (i, column) in table.column_iter_mut().enumerate() {
        if rows.iter().all(|row| numeric(&row[i])) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in rows {
        table.add_row(row);
    }
    table
}

/// A path as JSON can hold it.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Writes to stdout. A reader that has gone away is no error: the work goes on, unheard.
fn stdout(text: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        stderr(&format!("error: cannot write to stdout: {error}"));
        std::process::exit(1);
    }
}

fn stderr(line: &str) {
    // Nowhere is left to report a failure of stderr.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_under_the_end_of_their_header() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["b".to_owned(), "-".to_owned()]];
        let text = table(&["name", "count"], rows).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].trim_end().len(), lines[3].trim_end().len(), "{text}");
        assert!(lines[3].trim_end().ends_with('1') && lines[4].trim_end().ends_with('-'), "{text}");
    }
}
