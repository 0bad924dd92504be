//! Texts, ages and numbers as a line of text may have them.

use std::{
    borrow::Cow,
    fmt::{self, Display, Write},
};

/// A text to stand in quotes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

/// A text that has its own quotes: they stay, as do backslashes; what does not print is escaped.
pub(super) struct Printable<'a>(pub(super) &'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\'' | '\\' => f.write_char(c),
            _ => write!(f, "{}", c.escape_debug()),
        })
    }
}

/// What a text, given as it is or as its bytes, takes at the most in either form of the dump, escapes included.
pub(super) fn cost(text: &(impl AsRef<[u8]> + ?Sized)) -> usize {
    let of_byte = |byte: &u8| match byte {
        b'"' | b'\\' | b'\'' => 2,
        b' '..=b'~' => 1,
        // The rest of a character.
        0x80..=0xbf => 0,
        // One that does not print becomes `\u{10ffff}` at the longest, and so does one that would join what is before it.
        0xc0.. => 10,
        _ => 6,
    };
    text.as_ref().iter().map(of_byte).sum()
}

/// A type's name without the paths: `alloc::vec::Vec<core::time::Duration>` is `Vec<Duration>`.
pub(super) fn short(type_name: &str) -> String {
    let mut short = String::new();
    let mut word = 0;
    for c in type_name.chars() {
        match c {
            ':' => short.truncate(word),
            _ => short.push(c),
        }
        if !(c.is_alphanumeric() || c == '_' || c == ':') {
            word = short.len();
        }
    }
    short
}

/// How many bytes of a name are shown: a thread's, a task's, a value's, a namespace's. A client may have given it: a task is named by
/// a request's path.
const MAX_NAME: usize = 256;

/// The name, or the beginning of one that is too long, with a mark.
pub(crate) fn cut_name(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME {
        return name.into();
    }
    let end = (0..=MAX_NAME).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    format!("{}\u{2026}", &name[..end]).into()
}

/// Microseconds, in the two units that matter.
#[derive(Clone, Copy)]
pub(crate) struct Age(pub(crate) u64);

impl Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000;
        match seconds {
            0 => write!(f, "{}ms", self.0 / 1_000),
            1..60 => write!(f, "{}.{}s", seconds, self.0 / 100_000 % 10),
            60..3_600 => write!(f, "{}m{:02}s", seconds / 60, seconds % 60),
            3_600..86_400 => write!(f, "{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
            _ => write!(f, "{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

pub(super) struct Bytes(pub(super) usize);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ ..1_024 => write!(f, "{bytes} B"),
            bytes @ ..1_048_576 => write!(f, "{:.1} KiB", bytes as f64 / 1_024.0),
            bytes => write!(f, "{:.1} MiB", bytes as f64 / 1_048_576.0),
        }
    }
}

/// So many of something; the first word of the noun takes the plural.
pub(super) struct Count(pub(super) usize, pub(super) &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        let (word, rest) = noun.split_at(noun.find(' ').unwrap_or(noun.len()));
        let plural = if *number == 1 { "" } else { "s" };
        write!(f, "{number} {word}{plural}{rest}")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_whole_characters_of_its_beginning() {
        assert_eq!(cut_name(&"n".repeat(256)), "n".repeat(256));
        assert_eq!(cut_name(&"n".repeat(257)), format!("{}\u{2026}", "n".repeat(256)));
        assert_eq!(cut_name(&"é".repeat(200)), format!("{}\u{2026}", "é".repeat(128)));
        assert_eq!(cut_name(&format!("n{}", "é".repeat(200))), format!("n{}\u{2026}", "é".repeat(127)));
    }

    #[test]
    fn types_lose_their_paths() {
        for (long, expected) in [
            ("u64", "u64"),
            ("alloc::string::String", "String"),
            ("alloc::vec::Vec<core::time::Duration>", "Vec<Duration>"),
            ("(alloc::string::String, &a::b::C)", "(String, &C)"),
        ] {
            assert_eq!(short(long), expected);
        }
    }

    #[test]
    fn ages_are_in_the_units_that_matter() {
        for (micros, expected) in [
            (999, "0ms"),
            (840_000, "840ms"),
            (12_340_000, "12.3s"),
            (842_000_000, "14m02s"),
            (11_520_000_000, "3h12m"),
            (266_400_000_000, "3d02h"),
        ] {
            assert_eq!(Age(micros).to_string(), expected);
        }
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        assert_eq!(
            Printable("a \"b\" \\ \x1b[31m\r\n\u{9b}").to_string(),
            "a \"b\" \\ \\u{1b}[31m\\r\\n\\u{9b}"
        );
        assert_eq!(Escaped("\"\x07").to_string(), "\\\"\\u{7}");
    }

    #[test]
    fn no_text_takes_more_than_it_is_said_to() {
        for code in 0..=0x10_ffff {
            let Some(c) = char::from_u32(code) else { continue };
            let text = c.to_string();
            let json = serde_json::to_string(&text).expect("a text").len() - 2;
            let most = json.max(Escaped(&text).to_string().len()).max(Printable(&text).to_string().len());
            assert!(most <= cost(&text), "{c:?} takes {most}");
        }
    }
}
