//! How text looks: its width, and whether it is coloured.

use std::{
    env,
    fmt::{self, Display},
    io::IsTerminal,
};

use crate::os;

/// How a dump's text looks: how wide it is, and whether it is coloured. Nothing is coloured unless somebody asks for it.
///
/// ```
/// use threadctx::{DumpOptions, TextStyle};
///
/// let stderr = std::io::stderr();
/// // Coloured if that is a terminal and nobody set `NO_COLOR`.
/// let options = DumpOptions::new().text_style(TextStyle::of(&stderr));
/// options.write_text(&mut stderr.lock()).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextStyle {
    width: usize,
    is_coloured: bool,
}

/// A text narrower than this has no room for values, and one that is wider is hard to read.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=240;

impl Default for TextStyle {
    fn default() -> Self {
        Self::plain()
    }
}

impl TextStyle {
    /// 80 columns, no colour.
    ///
    /// ```
    /// let text = threadctx::DumpOptions::new().text_style(threadctx::TextStyle::plain());
    /// # text.write_text(&mut Vec::new()).unwrap();
    /// ```
    pub const fn plain() -> Self {
        Self { width: 80, is_coloured: false }
    }

    /// What suits `out`: a terminal gets colour, unless the environment has a `NO_COLOR` that is not empty or the terminal is
    /// a `dumb` one; everything else gets plain text.
    ///
    /// A terminal's text is as wide as the environment's `COLUMNS` says, and where that says nothing (most shells keep it to
    /// themselves), as wide as the terminal is that standard error, output or input is on: 80 columns, if none is, or on
    /// other systems than Unix.
    ///
    /// ```
    /// use threadctx::TextStyle;
    ///
    /// let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    /// assert_eq!(TextStyle::of(&file), TextStyle::plain());
    /// ```
    pub fn of(out: &impl IsTerminal) -> Self {
        Self::of_environment(out.is_terminal(), os::terminal_columns, |name| env::var(name).ok())
    }

    fn of_environment(
        is_terminal: bool,
        terminal_columns: impl Fn() -> Option<usize>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        if !is_terminal {
            return Self::plain();
        }
        let forbids = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = variable("TERM").is_none_or(|terminal| terminal == "dumb");
        let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok());
        let columns = columns.or_else(terminal_columns);
        Self::plain().columns(columns.unwrap_or(80)).coloured(!forbids && !is_dumb)
    }

    /// So many columns: where ages stand, and where they stand next to values that are longer than the line.
    ///
    /// ```
    /// let wide = threadctx::TextStyle::plain().columns(120);
    /// println!("{}", threadctx::DumpOptions::new().text_style(wide).take());
    /// ```
    #[must_use]
    pub fn columns(mut self, columns: usize) -> Self {
        self.width = columns.clamp(*WIDTHS.start(), *WIDTHS.end());
        self
    }

    /// Whether to colour, whatever the environment says.
    ///
    /// ```
    /// let style = threadctx::TextStyle::plain().coloured(true);
    /// let mut text = Vec::new();
    /// # threadctx::get_thread_ctx();
    /// threadctx::DumpOptions::new().text_style(style).write_text(&mut text).unwrap();
    /// assert!(text.contains(&b'\x1b'));
    /// ```
    #[must_use]
    pub fn coloured(mut self, coloured: bool) -> Self {
        self.is_coloured = coloured;
        self
    }

    pub(super) fn width(self) -> usize {
        self.width
    }

    pub(super) fn paint<T: Display>(self, paint: Paint, text: T) -> Painted<T> {
        Painted { text, code: self.is_coloured.then(|| paint.code()) }
    }
}

/// What is coloured.
#[derive(Clone, Copy)]
pub(super) enum Paint {
    /// Whose values follow.
    Header,
    /// What does not matter at a glance.
    Aside,
    /// What deserves a look.
    Alarm,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Header => "1",
            Self::Aside => "2",
            Self::Alarm => "1;31",
        }
    }
}

pub(super) struct Painted<T> {
    text: T,
    code: Option<&'static str>,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => self.text.fmt(f),
            Some(code) => write!(f, "\u{1b}[{code}m{}\u{1b}[0m", self.text),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_whose_user_does_not_object() {
        let style = |is_terminal, set: &[(&str, &str)]| {
            let find =
                |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
            TextStyle::of_environment(is_terminal, || None, find)
        };
        let coloured = TextStyle::plain().coloured(true);
        assert_eq!(style(true, &[("TERM", "xterm")]), coloured);
        assert_eq!(style(true, &[("TERM", "xterm"), ("NO_COLOR", "")]), coloured);
        assert_eq!(style(true, &[("TERM", "xterm"), ("COLUMNS", "120")]), coloured.columns(120));
        for set in [&[("TERM", "dumb")][..], &[("TERM", "xterm"), ("NO_COLOR", "1")], &[]] {
            assert_eq!(style(true, set), TextStyle::plain(), "{set:?}");
        }
        assert_eq!(style(false, &[("TERM", "xterm"), ("COLUMNS", "120")]), TextStyle::plain());
    }

    #[test]
    fn a_terminal_is_as_wide_as_the_environment_says_or_else_as_it_is() {
        let width = |is_terminal, set: Option<&str>, columns: Option<usize>| {
            let find = |name: &str| set.filter(|_| name == "COLUMNS").map(str::to_owned);
            TextStyle::of_environment(is_terminal, || columns, find).width()
        };
        assert_eq!(width(true, Some("100"), Some(120)), 100);
        assert_eq!(width(true, None, Some(120)), 120);
        assert_eq!(width(true, Some("wide"), Some(120)), 120);
        assert_eq!(width(true, None, None), 80);
        assert_eq!(width(false, Some("100"), Some(120)), 80);
        assert_eq!((width(true, None, Some(1)), width(true, None, Some(9_999))), (60, 240));
    }
}
