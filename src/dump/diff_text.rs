//! A difference as text, for people: `+` came, `-` went, `~` changed, `=` is stuck.

use std::fmt::{self, Write};

use super::{
    diff::{Change, ChangedContext, ChangedValue, DumpDiff, StuckContext},
    escape::{Age, Escaped},
    loaded::LoadedContext,
};

pub(super) fn write(diff: &DumpDiff, out: &mut impl Write) -> fmt::Result {
    write_head(diff, out)?;
    diff.stuck.iter().try_for_each(|stuck| write_stuck(out, stuck, diff.elapsed_us))?;
    diff.changed.iter().try_for_each(|context| write_changed(out, context))?;
    diff.added.iter().try_for_each(|context| write_context(out, '+', context))?;
    diff.gone.iter().try_for_each(|context| write_context(out, '-', context))
}

fn write_head(diff: &DumpDiff, out: &mut impl Write) -> fmt::Result {
    let DumpDiff { from, to, process, elapsed_us, added, gone, changed, stuck, others, .. } = diff;
    writeln!(out, "{}  {}..{}  {}", Escaped(process), Escaped(from), Escaped(to), Age(*elapsed_us))?;
    let [added, gone, changed, stuck] = [added.len(), gone.len(), changed.len(), stuck.len()];
    writeln!(out, "{stuck} stuck, {changed} changed, {added} added, {gone} gone, {others} others")?;
    if !diff.same_process {
        writeln!(out, "The dumps are of different processes: nobody is in both.")?;
    }
    if !diff.complete {
        writeln!(out, "One of the dumps is not complete: what it lacks may have been left out.")?;
    }
    Ok(())
}

fn write_header(out: &mut impl Write, sign: char, name: Option<&str>, ident: &str) -> fmt::Result {
    write!(out, "\n{sign} \"{}\"  {}", Escaped(name.unwrap_or("")), Escaped(ident))
}

fn write_context(out: &mut impl Write, sign: char, context: &LoadedContext) -> fmt::Result {
    write_header(out, sign, context.name.as_deref(), &context.ident)?;
    writeln!(out)?;
    write_values(out, context)
}

fn write_stuck(out: &mut impl Write, stuck: &StuckContext, elapsed_us: u64) -> fmt::Result {
    let context = &stuck.context;
    write_header(out, '=', context.name.as_deref(), &context.ident)?;
    if let Some(tid) = context.os_tid {
        write!(out, "  tid {tid}")?;
    }
    let cpu = if stuck.cpu_used_us.is_some() { ", no CPU used" } else { "" };
    writeln!(out, "  no write{cpu} in {}", Age(elapsed_us))?;
    write_values(out, context)
}

fn write_values(out: &mut impl Write, context: &LoadedContext) -> fmt::Result {
    for value in &context.values {
        write!(out, "    {} = {}", value.title(), value.text())?;
        match value.age_us {
            Some(age) => writeln!(out, "  {}", Age(age))?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn write_changed(out: &mut impl Write, context: &ChangedContext) -> fmt::Result {
    write_header(out, '~', context.name.as_deref(), &context.ident)?;
    match context.cpu_used_us {
        Some(used) => writeln!(out, "  used {} CPU", Age(used))?,
        None => writeln!(out)?,
    }
    context.values.iter().try_for_each(|value| write_changed_value(out, value))
}

fn write_changed_value(out: &mut impl Write, changed: &ChangedValue) -> fmt::Result {
    let ChangedValue { change, before, after } = changed;
    match (change, before, after) {
        (Change::Changed, Some(before), Some(after)) => {
            writeln!(out, "  ~ {} = {} -> {}", after.title(), before.text(), after.text())
        }
        (Change::Rewritten, _, Some(after)) => {
            writeln!(out, "    {} = {}  written again", after.title(), after.text())
        }
        (_, None, Some(after)) => writeln!(out, "  + {} = {}", after.title(), after.text()),
        (_, Some(before), _) => writeln!(out, "  - {} = {}", before.title(), before.text()),
        (_, None, None) => Ok(()),
    }
}
