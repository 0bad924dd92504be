//! The picture as text, for people.

use std::fmt::{self, Display, Write};

use super::picture::{Content, ContextPicture, Counts, Picture, ValuePicture};

/// A value is padded up to this width, so that the ages stand in one column; longer ones push theirs out.
const VALUE_WIDTH: usize = 56;
/// The same for names.
const NAME_WIDTH: usize = 32;

impl Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = &self.process;
        let up = Age(process.uptime_us);
        writeln!(f, "{}  pid {}  up {up}  {}", Escaped(&process.name), process.pid, self.captured_at)?;
        self.write_counts(f)?;
        for context in &self.contexts {
            write!(f, "\n{context}")?;
        }
        self.write_left_out(f)
    }
}

impl Picture {
    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { contexts, values, secret, truncated, busy, .. } = self.counts;
        let threads = self.contexts.iter().filter(|context| context.kind == "thread").count();
        let tasks = contexts - threads;
        let bytes = self
            .contexts
            .iter()
            .flat_map(|context| &context.values)
            .map(|value| value.value.text().len())
            .sum();
        write!(f, "{}: {}, {}", Count(contexts, "context"), Count(threads, "thread"), Count(tasks, "task"))?;
        write!(f, " | {}, {}", Count(values, "value"), Bytes(bytes))?;
        writeln!(f, " | {secret} secret, {truncated} truncated, {busy} busy")
    }

    fn write_left_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { left_out, values_left_out, .. } = self.counts;
        if (left_out, values_left_out) == (0, 0) {
            return Ok(());
        }
        let limits = &self.limits;
        write!(
            f,
            "\nLeft out: {}, {}",
            Count(left_out, "context"),
            Count(values_left_out, "value of others")
        )?;
        write!(f, " (limits: {}", Count(limits.max_contexts, "context"))?;
        writeln!(f, ", {}, {})", Bytes(limits.max_bytes), Age(limits.budget_us))
    }
}

/// One header line that begins with a quote, and a line per value.
impl Display for ContextPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "\"{}\"  {}", Escaped(name), self.ident)?,
            None => write!(f, "\"\"  {}", self.ident)?,
        }
        if let Some(tid) = self.os_tid {
            write!(f, "  tid {tid}")?;
        }
        write!(f, "  {}", self.state)?;
        if let Some(parent) = &self.parent {
            write!(f, "  of {parent}")?;
        }
        if let Some(carrier) = &self.carrier {
            write!(f, "  on {carrier}")?;
        }
        if let Some(ago) = self.last_write_us_ago {
            write!(f, "  last write {} ago", Age(ago))?;
        }
        writeln!(f)?;
        write_values(f, &self.values)?;
        self.carries.iter().try_for_each(|task| writeln!(f, "    carries {task}"))
    }
}

fn write_values(f: &mut fmt::Formatter<'_>, values: &[ValuePicture]) -> fmt::Result {
    let line = |value: &ValuePicture| {
        let mark = if value.inherited == Some(true) { "  inherited" } else { "" };
        (title(value), shown(value), value.age_us.map(|age| (age, mark)))
    };
    let lines: Vec<_> = values.iter().map(line).collect();
    let width = |text: &str, most| text.chars().count().min(most);
    let names = lines.iter().map(|(title, ..)| width(title, NAME_WIDTH)).max().unwrap_or(0);
    let with_age = lines.iter().filter(|(.., age)| age.is_some());
    let widest = with_age.map(|(_, value, _)| width(value, VALUE_WIDTH)).max().unwrap_or(0);
    for (title, value, age) in &lines {
        match age {
            Some((age, mark)) => writeln!(f, "    {title:names$} = {value:widest$}  {}{mark}", Age(*age))?,
            None => writeln!(f, "    {title:names$} = {value}")?,
        }
    }
    Ok(())
}

fn title(value: &ValuePicture) -> String {
    format!("{}.{}", Escaped(&value.namespace), Escaped(&value.name))
}

/// The value on one line. `Debug` and JSON quote their own texts, so that only what a terminal would act on is escaped.
fn shown(value: &ValuePicture) -> String {
    let type_name = short(value.type_name);
    let cut = if value.truncated { "\u{2026}" } else { "" };
    match &value.value {
        Content::None if value.shown == "secret" => format!("<secret {type_name}>"),
        Content::None => format!("<{type_name}>"),
        Content::Display(text) => format!("\"{}{cut}\"", Escaped(text)),
        Content::Json(json) => Printable(json.get()).to_string(),
        Content::Debug(text) | Content::CutJson(text) | Content::Problem(text) => {
            format!("{}{cut}", Printable(text))
        }
    }
}

/// A type's name without the paths: `alloc::vec::Vec<core::time::Duration>` is `Vec<Duration>`.
fn short(type_name: &str) -> String {
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

/// A text to stand in quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

/// A text that has its own quotes: they stay, as do backslashes; what does not print is escaped.
struct Printable<'a>(&'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\'' | '\\' => f.write_char(c),
            _ => write!(f, "{}", c.escape_debug()),
        })
    }
}

/// Microseconds, in the two units that matter.
struct Age(u64);

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

struct Bytes(usize);

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
struct Count(usize, &'static str);

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
}
