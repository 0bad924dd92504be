//! The picture as JSON and as NDJSON, for tools.

use std::io;

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
    let counts = &picture.end.counts;
    let room = counts.contexts * CONTEXT_ROOM + counts.values * VALUE_ROOM + counts.value_bytes;
    let mut text = Vec::with_capacity(1_024 + room);
    write(picture, &mut text).expect("memory takes everything");
    String::from_utf8(text).expect("JSON is text")
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

/// JSON on its way, as `Picture` serializes.
pub(super) struct JsonSink<'w, W> {
    out: &'w mut W,
    is_first: bool,
    encoder: Encoder,
    text: Vec<u8>,
}

impl<'w, W: io::Write> JsonSink<'w, W> {
    pub(super) fn new(out: &'w mut W) -> Self {
        Self { out, is_first: true, encoder: Encoder::default(), text: Vec::new() }
    }

    fn write(&mut self, context: &DumpedContext) -> io::Result<()> {
        self.text.clear();
        if !std::mem::replace(&mut self.is_first, false) {
            self.text.push(b',');
        }
        self.encoder.context(&mut self.text, context);
        self.out.write_all(&self.text)
    }

    /// Writes `before`, and the fields of `object` without the brace that begins it, or that ends it.
    fn fields(&mut self, object: &impl Serialize, before: &str, ends: (bool, bool)) -> io::Result<()> {
        let text = serde_json::to_vec(object)?;
        let from = usize::from(!ends.0);
        let to = text.len() - usize::from(!ends.1);
        self.out.write_all(before.as_bytes())?;
        self.out.write_all(&text[from..to])
    }
}

impl<W: io::Write> Sink for JsonSink<'_, W> {
    fn begin(&mut self, head: &Head, _: usize) -> io::Result<()> {
        self.fields(head, "", (true, false))?;
        self.out.write_all(b",\"contexts\":[")
    }

    fn context(&mut self, context: DumpedContext) -> io::Result<()> {
        self.write(&context)
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        self.fields(end, "],", (false, true))?;
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
