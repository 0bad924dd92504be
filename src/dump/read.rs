//! Reads a dump back: one JSON object, or the lines of `write_ndjson`.

use serde::Deserialize;

use super::{
    loaded::{LoadedContext, LoadedDump},
    picture::SCHEMA,
};

/// Why a text is no dump.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("it is no JSON ({0})")]
    Json(String),
    #[error(
        "its schema is {0:?}, and this version reads {SCHEMA:?}; read it with the version that wrote it, or a later one"
    )]
    Schema(String),
    #[error("it is JSON, but no dump: it has neither a schema nor contexts")]
    NoDump,
    #[error("it ends in the middle: {0} of {1} lines of contexts are there")]
    Lines(usize, usize),
    #[error("it ends in the middle: the last line, with the counts, is missing")]
    LastLine,
}

/// What the lines of NDJSON that are no contexts may say.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Frame {
    ident: Option<String>,
    counts: Option<Counts>,
    complete: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    contexts: usize,
}

/// The dump that `text` is.
pub(super) fn dump(text: &str) -> Result<LoadedDump, Reason> {
    let mut lines = serde_json::Deserializer::from_str(text).into_iter::<&serde_json::value::RawValue>();
    let first = lines.next().ok_or_else(|| Reason::Json("it is empty".to_owned()))?.map_err(json)?.get();
    let mut dump: LoadedDump = parse(first)?;
    check(&dump)?;
    if dump.contexts.is_none() {
        let rest =
            lines.map(|line| line.map(|line| line.get())).collect::<Result<Vec<_>, _>>().map_err(json)?;
        read_lines(&mut dump, first, &rest)?;
    } else if let Some(more) = lines.next() {
        return Err(more.map_or_else(json, |_| Reason::Json("something follows the dump".to_owned())));
    }
    Ok(dump)
}

fn check(dump: &LoadedDump) -> Result<(), Reason> {
    match &dump.schema {
        Some(schema) if schema != SCHEMA => Err(Reason::Schema(schema.clone())),
        None if dump.contexts.is_none() => Err(Reason::NoDump),
        _ => Ok(()),
    }
}

/// The contexts of NDJSON, a line each. The counts are in the first line or, of a dump that was written as it was taken, in the
/// last one.
fn read_lines(dump: &mut LoadedDump, first: &str, lines: &[&str]) -> Result<(), Reason> {
    let mut counts = parse::<Frame>(first)?.counts;
    let mut contexts = Vec::new();
    for line in lines {
        let frame: Frame = parse(line)?;
        if frame.ident.is_some() {
            contexts.push(parse::<LoadedContext>(line)?);
        } else if frame.counts.is_some() {
            (counts, dump.complete) = (frame.counts, frame.complete);
        }
    }
    let Some(Counts { contexts: counted }) = counts else { return Err(Reason::LastLine) };
    if contexts.len() != counted {
        return Err(Reason::Lines(contexts.len(), counted));
    }
    dump.contexts = Some(contexts);
    Ok(())
}

fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, Reason> {
    serde_json::from_str(text).map_err(json)
}

fn json(error: serde_json::Error) -> Reason {
    Reason::Json(error.to_string())
}
