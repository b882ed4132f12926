//! What verbs print: one value on stdout, as JSON or as text for people.

use super::failure::Failure;
use serde::Serialize;
use std::io::Write as _;

/// An answer: JSON comes from its fields, text from [`Show::text`].
pub(crate) trait Show: Serialize {
    /// Lines for people, without the last line end.
    fn text(&self) -> String;
}

/// Prints an answer.
pub(crate) fn show<T: Show>(json: bool, value: &T) -> Result<(), Failure> {
    let text = if json {
        serde_json::to_string_pretty(value).map_err(|error| Failure::integrity("json", error))?
    } else {
        value.text()
    };
    line(&text);
    Ok(())
}

/// Writes one line to stdout. A reader that went away is no failure of the verb.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Names and values in two columns.
pub(crate) fn rows<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: Vec<(&str, String)> = rows.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = rows
        .iter()
        .map(|(name, value)| format!("{name:width$}  {}", value.replace('\n', &format!("\n{:width$}  ", ""))))
        .collect();
    lines.join("\n")
}

/// A table; the last column is not padded. `none` stands for an empty one.
pub(crate) fn table(head: &[&str], lines: &[Vec<String>], none: &str) -> String {
    if lines.is_empty() {
        return none.to_owned();
    }
    let head: Vec<String> = head.iter().map(|word| (*word).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(lines).collect();
    let width = |column: usize| all.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let format_line = |line: &&Vec<String>| {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    all.iter().map(format_line).collect::<Vec<_>>().join("\n")
}

/// The first and last digits of an id, for lines that have no room for all 64.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    let text = id.to_string();
    match (text.get(..8), text.get(text.len().saturating_sub(4)..)) {
        (Some(start), Some(end)) if text.len() > 16 => format!("{start}…{end}"),
        _ => text,
    }
}

/// Words that a stranger wrote, with everything that could steer a terminal made visible.
pub(crate) fn safe(text: &str) -> String {
    text.chars()
        .flat_map(|one| if one.is_control() { one.escape_default().collect() } else { vec![one] })
        .collect()
}
