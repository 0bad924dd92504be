//! The picture as text, for people.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    io,
};

use super::{
    escape::{Age, Bytes, Count, Escaped, Printable, short},
    facts::Facts,
    findings::{Alike, Finding, alike},
    group::{Group, Range, Ranges, are_alike, groups},
    picture::{Content, DumpCounts, DumpedContext, DumpedValue, End, Head, Limit, Limits, Picture},
    standing::Standing,
    stream::Sink,
    style::{Paint, TextStyle},
};

/// A name is padded up to this width; longer ones push their values out.
const NAME_WIDTH: usize = 32;
/// The ages of a context stand in the first of these columns that is behind its values; so those of most contexts stand in
/// the same.
const FIRST_COLUMN: usize = 40;
const COLUMN_STEP: usize = 13;

/// Findings are listed up to so many: who has more has one cause for them, or should set another threshold.
const MOST_FINDINGS: usize = 12;

/// Whether contexts that are alike share a text, and how it looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) is_grouped: bool,
    pub(super) style: TextStyle,
}

/// Writes a picture that is there already, which can group contexts wherever they are.
pub(super) fn write(picture: &Picture, layout: Layout, out: &mut impl Write) -> fmt::Result {
    let Layout { is_grouped, style } = layout;
    let Picture { head, contexts, end } = picture;
    write_head(out, head)?;
    write_counts(out, &end.counts)?;
    if is_grouped {
        groups(contexts).iter().try_for_each(|group| write_group(out, group, style))?;
    } else {
        contexts.iter().try_for_each(|context| write_context(out, context, style))?;
    }
    write_end(out, &head.limits, end, style)
}

fn write_head(out: &mut impl Write, head: &Head) -> fmt::Result {
    let process = &head.process;
    let (name, up) = (Escaped(&process.name), Age(process.uptime_us));
    writeln!(out, "{name}  pid {}  up {up}  {}", process.pid, head.captured_at)
}

fn write_counts(out: &mut impl Write, counts: &DumpCounts) -> fmt::Result {
    let DumpCounts { contexts, threads, tasks, values, value_bytes, secret, truncated, busy, .. } = *counts;
    write!(out, "{}: {}, {}", Count(contexts, "context"), Count(threads, "thread"), Count(tasks, "task"))?;
    write!(out, " | {}, {}", Count(values, "value"), Bytes(value_bytes))?;
    writeln!(out, " | {secret} secret, {truncated} truncated, {busy} busy")
}

/// What is concluded, and what is missing.
fn write_end(out: &mut impl Write, limits: &Limits, end: &End, style: TextStyle) -> fmt::Result {
    write_findings(out, &end.findings, end.counts.findings_left_out, style)?;
    let DumpCounts { left_out, values_left_out, truncated, .. } = end.counts;
    if (left_out, values_left_out, truncated) != (0, 0, 0) {
        writeln!(out)?;
    }
    if truncated > 0 {
        writeln!(out, "Cut: {} (limit: {} each)", Count(truncated, "value"), Bytes(limits.max_value_bytes))?;
    }
    if (left_out, values_left_out) != (0, 0) { write_left_out(out, limits, end) } else { Ok(()) }
}

fn write_left_out(out: &mut impl Write, limits: &Limits, end: &End) -> fmt::Result {
    let DumpCounts { left_out, values_left_out, .. } = end.counts;
    let (contexts, values) = (Count(left_out, "context"), Count(values_left_out, "value of others"));
    let plural = if end.limits_met.len() == 1 { "" } else { "s" };
    write!(out, "Left out: {contexts}, {values} (limit{plural} met")?;
    for (limit, before) in end.limits_met.iter().zip([": ", ", ", ", "]) {
        out.write_str(before)?;
        match limit {
            Limit::MaxContexts => write!(out, "{}", Count(limits.max_contexts, "context"))?,
            Limit::MaxBytes => write!(out, "{}", Bytes(limits.max_bytes))?,
            Limit::BudgetUs => write!(out, "{}", Age(limits.budget_us))?,
        }
    }
    writeln!(out, ")")
}

fn write_findings(
    out: &mut impl Write,
    findings: &[Finding],
    left_out: usize,
    style: TextStyle,
) -> fmt::Result {
    if findings.is_empty() && left_out == 0 {
        return Ok(());
    }
    writeln!(out, "\nFindings")?;
    let lines = alike(findings);
    let listed = &lines[..lines.len().min(MOST_FINDINGS)];
    for line in listed {
        writeln!(out, "  {} {line}", style.paint(Paint::Alarm, "!"))?;
    }
    let listed: usize = listed.iter().map(Alike::count).sum();
    match findings.len() - listed + left_out {
        0 => Ok(()),
        more => writeln!(out, "  ... and {more} more"),
    }
}

/// A blank line, one header line that begins with a quote, and a line per value.
pub(super) fn write_context(out: &mut impl Write, context: &DumpedContext, style: TextStyle) -> fmt::Result {
    let name = format!("\"{}\"", Escaped(context.name.as_deref().unwrap_or("")));
    write!(out, "\n{}  {}", style.paint(Paint::Header, name), context.ident)?;
    if let Some(tid) = context.os_tid {
        write!(out, "  tid {tid}")?;
    }
    write!(out, "  {}", standing(context, Facts { run_state: context.run_state, cpu_us: context.cpu_us }))?;
    if let Some(parent) = &context.parent {
        write!(out, "  from {parent}")?;
    }
    if let Some(ago) = context.last_write_us_ago {
        write!(out, "  last write {} ago", Age(ago))?;
    }
    write_alarm(out, context, style)?;
    writeln!(out)?;
    let ages: Vec<_> = context.values.iter().map(|value| value.age_us().map(|age| (age, age))).collect();
    write_values(out, &context.values, &ages, style)?;
    match (&context.carries, &context.carried_name) {
        (Some(task), Some(name)) => writeln!(out, "    carries {task} \"{}\"", Escaped(name)),
        (Some(task), None) => writeln!(out, "    carries {task}"),
        (None, _) => Ok(()),
    }
}

/// How it is doing, as the system has it.
fn standing(context: &DumpedContext, facts: Facts) -> Standing {
    let (state, carrier) = (context.state, context.carrier);
    Standing { is_task: context.is_task(), state, facts, carrier }
}

fn write_alarm(out: &mut impl Write, context: &DumpedContext, style: TextStyle) -> fmt::Result {
    if context.stale || !context.unmoved.is_empty() {
        write!(out, " {}", style.paint(Paint::Alarm, "!!!"))
    } else {
        Ok(())
    }
}

/// The same for contexts that are alike; the header of more than one begins with their number.
fn write_group(out: &mut impl Write, group: &Group<'_>, style: TextStyle) -> fmt::Result {
    if group.count == 1 {
        return write_context(out, &group.sample, style);
    }
    let kind = if group.sample.is_task() { "tasks" } else { "threads" };
    let title = format!("{} {kind} alike:", group.count);
    write!(out, "\n{} ", style.paint(Paint::Header, title))?;
    write_members(out, &group.names, |name| format!("\"{}\"", Escaped(name)))?;
    write!(out, "  ")?;
    write_members(out, &group.idents, str::to_owned)?;
    let standing = standing(&group.sample, Facts { run_state: group.run_state, cpu_us: None });
    // Of threads of which the system says this and that there is nothing to say.
    if standing.is_task || standing.state != "running" || group.run_state.is_some() {
        write!(out, "  {standing}")?;
    }
    if let Some(ages) = group.last_write {
        write!(out, "  last write {} ago", Ages(ages))?;
    }
    write_alarm(out, &group.sample, style)?;
    writeln!(out)?;
    write_values(out, &group.sample.values, &group.ages, style)
}

/// First and last of each range, or the one that is both.
fn write_members(out: &mut impl Write, members: &Ranges, show: impl Fn(&str) -> String) -> fmt::Result {
    for (number, Range { first, last }) in members.ranges.iter().enumerate() {
        write!(out, "{}{}", if number == 0 { "" } else { ", " }, show(first))?;
        if first != last {
            write!(out, "..{}", show(last))?;
        }
    }
    match members.unlisted {
        0 => Ok(()),
        unlisted => write!(out, ", and {unlisted} more"),
    }
}

/// Youngest and oldest, where people would see a difference.
struct Ages((u64, u64));

impl fmt::Display for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (youngest, oldest) = (Age(self.0.0).to_string(), Age(self.0.1).to_string());
        if youngest == oldest { f.write_str(&oldest) } else { write!(f, "{youngest}..{oldest}") }
    }
}

fn write_values(
    out: &mut impl Write,
    values: &[DumpedValue],
    ages: &[Option<(u64, u64)>],
    style: TextStyle,
) -> fmt::Result {
    let titles: Vec<_> = values.iter().map(title).collect();
    let names = titles.iter().map(|title| width(title).min(NAME_WIDTH)).max().unwrap_or(0);
    let lines: Vec<_> = titles
        .iter()
        .zip(values)
        .map(|(title, value)| format!("    {title:names$} = {}", shown(value)))
        .collect();
    let ages: Vec<_> = ages.iter().map(|age| age.map(|age| Ages(age).to_string())).collect();
    let last = style.width() - ages.iter().flatten().map(String::len).max().unwrap_or(0);
    let aged = lines.iter().zip(&ages).filter(|(_, age)| age.is_some());
    let column = column(aged.map(|(line, _)| width(line)), last);
    for ((line, age), value) in lines.iter().zip(&ages).zip(values) {
        let Some(age) = age else {
            writeln!(out, "{line}")?;
            continue;
        };
        let pad = pad(width(line), column, style.width());
        let mark = if value.is_inherited() { "  inherited" } else { "" };
        writeln!(out, "{line}{:pad$}{}{mark}", "", style.paint(Paint::Aside, age))?;
    }
    Ok(())
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The column of a context's ages: the first one behind all lines, but for those that reach beyond the last one.
fn column(lines: impl Iterator<Item = usize>, last: usize) -> usize {
    let widest = lines.map(|line| line + 2).filter(|line| *line <= last).max().unwrap_or(0);
    let steps = widest.saturating_sub(FIRST_COLUMN).div_ceil(COLUMN_STEP);
    (FIRST_COLUMN + steps * COLUMN_STEP).min(last)
}

/// The pad behind a line. One that is too long has its age in the same column further down: where a terminal of this width
/// wraps it, that is where the others stand.
fn pad(line: usize, column: usize, width: usize) -> usize {
    let behind = (line + 2).saturating_sub(column).div_ceil(width);
    column + behind * width - line
}

fn title(value: &DumpedValue) -> String {
    let [namespace, name] = value.title.shown();
    format!("{}.{}", Escaped(&namespace), Escaped(&name))
}

/// The value on one line. `Debug` and JSON quote their own texts, so that only what a terminal would act on is escaped.
fn shown(value: &DumpedValue) -> String {
    let type_name = || short(value.type_name);
    let cut = if value.truncated { "\u{2026}" } else { "" };
    match value.content() {
        Content::None if value.is_secret() => format!("<secret {}>", type_name()),
        Content::None => format!("<{}>", type_name()),
        Content::Display(text) => format!("\"{}{cut}\"", Escaped(text)),
        Content::Json(json) => Printable(json).to_string(),
        Content::Debug(text) | Content::CutJson(text) | Content::Problem(text) => {
            format!("{}{cut}", Printable(text))
        }
    }
}

/// Text on its way: contexts that are alike share one if they follow each other.
pub(super) struct TextSink<'w, W> {
    out: &'w mut W,
    layout: Layout,
    limits: Option<Limits>,
    /// What the next one may be like.
    pending: Option<Group<'static>>,
    text: String,
}

impl<'w, W: io::Write> TextSink<'w, W> {
    pub(super) fn new(out: &'w mut W, layout: Layout) -> Self {
        Self { out, layout, limits: None, pending: None, text: String::new() }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(group) = self.pending.take() {
            let style = self.layout.style;
            self.say(|text| write_group(text, &group, style))?;
        }
        Ok(())
    }

    /// Writes what `say` says, in one piece.
    fn say(&mut self, say: impl FnOnce(&mut String) -> fmt::Result) -> io::Result<()> {
        self.text.clear();
        say(&mut self.text).expect("a text takes everything");
        self.out.write_all(self.text.as_bytes())
    }
}

impl<W: io::Write> Sink for TextSink<'_, W> {
    fn begin(&mut self, head: &Head, wanted: usize) -> io::Result<()> {
        self.limits = Some(head.limits);
        self.say(|text| {
            write_head(text, head)?;
            writeln!(text, "{} to show; what came of them is counted at the end", Count(wanted, "context"))
        })
    }

    fn context(&mut self, context: DumpedContext) -> io::Result<()> {
        let is_grouped = self.layout.is_grouped;
        match &mut self.pending {
            Some(group) if is_grouped && are_alike(&group.sample, &context) => group.add(&context),
            _ => {
                self.flush()?;
                self.pending = Some(Group::new(Cow::Owned(context)));
            }
        }
        Ok(())
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.flush()?;
        let (limits, style) = (self.limits, self.layout.style);
        self.say(|text| {
            writeln!(text)?;
            write_counts(text, &end.counts)?;
            limits.map_or(Ok(()), |limits| write_end(text, &limits, end, style))
        })?;
        self.out.flush()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ages_stand_in_one_column_and_long_lines_have_theirs_below_it() {
        for width in [80, 120] {
            let last = width - "14m02s".len();
            for lines in [&[10, 20][..], &[10, 64], &[10, 66, 300], &[72], &[90, 1_000], &[300]] {
                let column = column(lines.iter().copied(), last);
                for line in lines {
                    let at = line + pad(*line, column, width);
                    assert!(at >= line + 2 && at % width == column, "{line} has it at {at}");
                    assert!(at < line + 2 + width);
                    assert!(*line + 2 > last || at == column, "{line} fits in {width}");
                }
            }
        }
    }
}
