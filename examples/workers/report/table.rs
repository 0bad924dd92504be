//! The totals by extension.

use std::{
    cmp::Reverse,
    io::{self, Write},
};

use super::number::Number;
use crate::tally::{Counts, Tally};

/// Longer extensions are cut: files may be called anything.
const NAME_WIDTH: usize = 16;

/// Writes the table, largest extension first, of which `top` stand for themselves, then what was left out.
pub(crate) fn write(out: &mut impl Write, tally: &Tally, top: usize) -> io::Result<()> {
    if tally.sum.files == 0 {
        writeln!(out, "There was nothing to count: no regular file in the folder.")?;
    } else {
        write_counts(out, tally, top)?;
    }
    write_left_out(out, tally)
}

fn write_counts(out: &mut impl Write, tally: &Tally, top: usize) -> io::Result<()> {
    write_line(out, "extension", ["files", "binary", "lines", "words", "bytes"])?;
    let mut rows: Vec<_> = tally.by_extension.iter().collect();
    rows.sort_unstable_by_key(|(extension, counts)| (Reverse(counts.bytes), *extension));
    let others = rows.split_off(top.min(rows.len()));
    for (extension, counts) in rows {
        write_row(out, &shown(extension), *counts)?;
    }
    if !others.is_empty() {
        let mut sum = Counts::default();
        others.iter().for_each(|(_, counts)| sum += **counts);
        write_row(out, &format!("({} others)", Number(others.len() as u64)), sum)?;
    }
    write_row(out, "total", tally.sum)?;
    writeln!(
        out,
        "\nBinary files (with a NUL byte, or not in UTF-8) count by files and bytes; the others also by"
    )?;
    writeln!(out, "lines (newlines) and words (between ASCII white space), as `wc` counts them.")
}

fn write_left_out(out: &mut impl Write, tally: &Tally) -> io::Result<()> {
    if tally.left_out.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nNot counted:")?;
    tally
        .left_out
        .iter()
        .try_for_each(|(reason, number)| writeln!(out, "    {reason:<24} {:>10}", Number(*number)))
}

fn write_row(out: &mut impl Write, name: &str, counts: Counts) -> io::Result<()> {
    let Counts { files, binary, lines, words, bytes } = counts;
    write_line(out, name, [files, binary, lines, words, bytes].map(Number))
}

fn write_line(out: &mut impl Write, name: &str, cells: [impl std::fmt::Display; 5]) -> io::Result<()> {
    let [files, binary, lines, words, bytes] = cells;
    writeln!(out, "{name:<NAME_WIDTH$} {files:>10} {binary:>10} {lines:>13} {words:>13} {bytes:>17}")
}

/// An extension as a terminal may see it.
fn shown(extension: &str) -> String {
    if extension.is_empty() {
        return "(none)".to_owned();
    }
    let mut shown: String = extension.escape_debug().take(NAME_WIDTH).collect();
    if shown.len() < extension.len() && shown.chars().count() == NAME_WIDTH {
        shown.pop();
        shown.push('\u{2026}');
    }
    shown
}
