//! Counts one file, a buffer at a time.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
    str,
};

use crate::tally::Counts;

/// The file's counts. A binary file, which is one with a NUL byte or with anything else than UTF-8 in it, has no lines
/// and words.
///
/// It is read up to the length that it has now: one that grows all the time has an end, and what the kernel shows as a
/// file without a length, to answer reads when it likes, is not waited for.
pub(crate) fn file(path: &Path, buffer: &mut [u8]) -> io::Result<Counts> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let one = Counts { files: 1, bytes: length, ..Counts::default() };
    Ok(match text(file.take(length), buffer)? {
        Some(Text { lines, words, .. }) => Counts { lines, words, ..one },
        None => Counts { binary: 1, ..one },
    })
}

/// Lines and words, as far as one has read.
#[derive(Default)]
struct Text {
    lines: u64,
    words: u64,
    is_in_word: bool,
}

impl Text {
    /// A line is what ends with a newline, and a word is what stands between ASCII white space: `wc` has it so.
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let is_space = matches!(byte, b' ' | b'\t'..=b'\r');
            self.lines += u64::from(*byte == b'\n');
            self.words += u64::from(!is_space && !self.is_in_word);
            self.is_in_word = !is_space;
        }
    }
}

/// Counts what `input` gives; `None` as soon as that turns out to be no text.
fn text(mut input: impl Read, buffer: &mut [u8]) -> io::Result<Option<Text>> {
    let mut text = Text::default();
    // A character may stand on the border: its first bytes wait at the front of the buffer for the others.
    let mut waiting = 0;
    loop {
        let filled = match input.read(&mut buffer[waiting..]) {
            Ok(0) => return Ok((waiting == 0).then_some(text)),
            Ok(read) => waiting + read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(whole) = whole_text(&buffer[..filled]) else { return Ok(None) };
        text.add(&buffer[..whole]);
        buffer.copy_within(whole..filled, 0);
        waiting = filled - whole;
    }
}

/// How many of the bytes are whole characters, if they are text as far as one can see.
fn whole_text(bytes: &[u8]) -> Option<usize> {
    if bytes.contains(&0) {
        return None;
    }
    match str::from_utf8(bytes) {
        Ok(_) => Some(bytes.len()),
        Err(error) if error.error_len().is_none() => Some(error.valid_up_to()),
        Err(_) => None,
    }
}
