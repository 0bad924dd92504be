//! The picture as JSON and as NDJSON, for tools.

use std::{io, mem};

use serde::Serialize;

use super::{
    encode::Encoder,
    picture::{DumpedContext, End, Head, Picture},
    stream::Sink,
};

/// What a context and a value take in most dumps, to begin with as much room.
const CONTEXT_ROOM: usize = 256;
const VALUE_ROOM: usize = 192;

/// A picture that is there already, as it [serializes](Serialize).
pub(super) fn to_string(picture: &Picture) -> String {
    let Picture { head, contexts, end } = picture;
    let room = end.counts.contexts * CONTEXT_ROOM + end.counts.values * VALUE_ROOM + end.counts.value_bytes;
    let mut document = Document { text: Vec::with_capacity(1_024 + room), ..Document::default() };
    document.begin(head);
    contexts.iter().for_each(|context| document.context(context));
    document.end(end);
    String::from_utf8(document.text).expect("JSON is text")
}

/// The same, written.
pub(super) fn write(picture: &Picture, out: &mut impl io::Write) -> io::Result<()> {
    let Picture { head, contexts, end } = picture;
    let mut json = JsonSink::new(out);
    json.begin(head, contexts.len())?;
    contexts.iter().try_for_each(|context| json.write(context))?;
    json.end(end)
}

/// Writes a picture that is there already as NDJSON: a line with all that frames it, then a line per context.
pub(super) fn write_lines(picture: &Picture, out: &mut impl io::Write) -> io::Result<()> {
    let Picture { head, contexts, end } = picture;
    let mut lines = Lines::new(out);
    lines.line(&Whole { head, end })?;
    contexts.iter().try_for_each(|context| lines.write(context))?;
    lines.out.flush()
}

/// All that frames the contexts.
#[derive(Serialize)]
struct Whole<'p> {
    #[serde(flatten)]
    head: &'p Head,
    #[serde(flatten)]
    end: &'p End,
}

/// JSON in the making, as `Picture` serializes.
#[derive(Default)]
struct Document {
    text: Vec<u8>,
    has_contexts: bool,
    encoder: Encoder,
}

impl Document {
    fn begin(&mut self, head: &Head) {
        append(&mut self.text, head);
        let brace = self.text.pop();
        debug_assert_eq!(brace, Some(b'}'));
        self.text.extend_from_slice(b",\"contexts\":[");
    }

    fn context(&mut self, context: &DumpedContext) {
        if mem::replace(&mut self.has_contexts, true) {
            self.text.push(b',');
        }
        self.encoder.context(&mut self.text, context);
    }

    fn end(&mut self, end: &End) {
        self.text.extend_from_slice(b"],");
        let brace = self.text.len();
        append(&mut self.text, end);
        self.text.remove(brace);
    }
}

fn append(text: &mut Vec<u8>, part: &impl Serialize) {
    serde_json::to_writer(text, part).expect("a picture is texts, numbers and JSON, and memory takes them");
}

/// JSON on its way.
pub(super) struct JsonSink<'w, W> {
    out: &'w mut W,
    document: Document,
}

impl<'w, W: io::Write> JsonSink<'w, W> {
    pub(super) fn new(out: &'w mut W) -> Self {
        Self { out, document: Document::default() }
    }

    fn write(&mut self, context: &DumpedContext) -> io::Result<()> {
        self.document.context(context);
        self.pass_on()
    }

    /// Writes what is there of the document, and forgets it.
    fn pass_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.document.text)?;
        self.document.text.clear();
        Ok(())
    }
}

impl<W: io::Write> Sink for JsonSink<'_, W> {
    fn begin(&mut self, head: &Head, _: usize) -> io::Result<()> {
        self.document.begin(head);
        self.pass_on()
    }

    fn context(&mut self, context: DumpedContext) -> io::Result<()> {
        self.write(&context)
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.document.end(end);
        self.pass_on()?;
        self.out.flush()
    }
}

/// NDJSON on its way: what is known first in the first line, then a line per context, and what is known last in the last.
pub(super) struct Lines<'w, W> {
    out: &'w mut W,
    encoder: Encoder,
    text: Vec<u8>,
}

impl<'w, W: io::Write> Lines<'w, W> {
    pub(super) fn new(out: &'w mut W) -> Self {
        Self { out, encoder: Encoder::default(), text: Vec::new() }
    }

    fn write(&mut self, context: &DumpedContext) -> io::Result<()> {
        self.text.clear();
        self.encoder.context(&mut self.text, context);
        // A value that is JSON already may have line breaks, which then stand between two tokens: a text has them escaped.
        self.text.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        self.text.push(b'\n');
        self.out.write_all(&self.text)
    }

    fn line(&mut self, object: &impl Serialize) -> io::Result<()> {
        self.text.clear();
        serde_json::to_writer(&mut self.text, object)?;
        self.text.push(b'\n');
        self.out.write_all(&self.text)
    }
}

impl<W: io::Write> Sink for Lines<'_, W> {
    fn begin(&mut self, head: &Head, _: usize) -> io::Result<()> {
        self.line(head)
    }

    fn context(&mut self, context: DumpedContext) -> io::Result<()> {
        self.write(&context)
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.line(end)?;
        self.out.flush()
    }
}
