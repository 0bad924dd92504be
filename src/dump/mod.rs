//! An owned picture of all contexts first, then its renderings.

use std::{fmt, io};

use serde::{Serialize, Serializer};

#[cfg(not(any(loom, shuttle)))]
mod brief;
mod capture;
mod diff;
mod diff_text;
mod encode;
mod escape;
mod facts;
mod filter;
mod findings;
mod group;
mod hanging;
mod json;
mod loaded;
mod options;
mod order;
mod picture;
mod process;
mod read;
mod render;
mod shown;
mod small;
mod standing;
mod stream;
mod style;
mod text;
mod unmoved;
mod view;

use picture::Picture;
use text::Layout;

pub use diff::{DumpDiff, DumpReadError};
pub use findings::Finding;
pub use options::DumpOptions;
pub use picture::{DumpCounts, DumpedContext, DumpedValue};
pub use style::TextStyle;

#[cfg(not(any(loom, shuttle)))]
pub(crate) use brief::{Brief, Who, in_full};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use escape::Age;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use process::note as note_process;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use render::ReservedHelper;
pub(crate) use shown::Shown;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use unmoved::{Unmoved, Watched};

/// A picture of all contexts at one time, owned: nothing of the program is held.
///
/// As text (`Display`) it is for people, with one line for each context that begins with a quote and one for each value;
/// as JSON (`Serialize`, [`to_json`](Self::to_json)) for tools. What of a value is shown is up to its key: nothing but the
/// type, unless the key says more. The values of one context are those of one moment or later; there is no moment common
/// to all contexts.
///
/// ```
/// threadctx::get_thread_ctx().namespace("probe").insert("rate", 50_u32).unwrap();
/// let dump = threadctx::dump();
/// assert!(dump.to_string().contains("probe.rate = 50"));
/// assert!(dump.to_json().contains(r#""schema":"threadctx.dump/1""#));
/// ```
#[derive(Clone)]
pub struct Dump {
    picture: Picture,
    layout: Layout,
}

/// A picture of all contexts, taken with the usual limits: see [`DumpOptions`].
///
/// Stops no thread. It holds the registry's locks while it copies the list of contexts, and nothing else, and runs values'
/// renderers with nothing locked, so that a renderer may use the whole crate. A value whose renderer panics shows the panic's
/// message.
///
/// ```
/// threadctx::get_thread_ctx().namespace("probe").insert("rate", 50_u32).unwrap();
/// eprintln!("{}", threadctx::dump());
/// ```
pub fn dump() -> Dump {
    DumpOptions::new().take()
}

impl Dump {
    /// The dump as JSON, in the schema that it names itself. Times are in microseconds.
    ///
    /// ```
    /// let json: serde_json::Value = serde_json::from_str(&threadctx::dump().to_json()).unwrap();
    /// assert_eq!(json["schema"], "threadctx.dump/1");
    /// ```
    pub fn to_json(&self) -> String {
        json::to_string(&self.picture)
    }

    /// False when anything was left out, cut, or busy.
    ///
    /// ```
    /// assert!(threadctx::dump().is_complete());
    /// ```
    pub fn is_complete(&self) -> bool {
        self.picture.end.complete
    }

    /// Writes the text, coloured if [`text_style`](DumpOptions::text_style) says so.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// ```
    /// threadctx::dump().write_text(&mut std::io::stderr()).unwrap();
    /// ```
    pub fn write_text(&self, out: &mut impl io::Write) -> io::Result<()> {
        let mut all = String::new();
        text::write(&self.picture, self.layout, &mut all).expect("a text takes everything");
        out.write_all(all.as_bytes())?;
        out.flush()
    }

    /// Writes the JSON.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// ```
    /// let mut json = Vec::new();
    /// threadctx::dump().write_json(&mut json).unwrap();
    /// assert!(json.starts_with(b"{"));
    /// ```
    pub fn write_json(&self, out: &mut impl io::Write) -> io::Result<()> {
        json::write(&self.picture, out)
    }

    /// Writes lines of JSON: one with all that frames the contexts, then one for each of them.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// ```
    /// let dump = threadctx::dump();
    /// let mut lines = Vec::new();
    /// dump.write_ndjson(&mut lines).unwrap();
    /// assert_eq!(String::from_utf8(lines).unwrap().lines().count(), 1 + dump.contexts().len());
    /// ```
    pub fn write_ndjson(&self, out: &mut impl io::Write) -> io::Result<()> {
        json::write_lines(&self.picture, out)
    }

    /// What has changed since `earlier`.
    ///
    /// ```
    /// let before = threadctx::dump();
    /// println!("{}", threadctx::dump().since(&before));
    /// ```
    pub fn since(&self, earlier: &Self) -> DumpDiff {
        DumpDiff::between((&earlier.picture).into(), (&self.picture).into())
    }

    /// The contexts, oldest first.
    ///
    /// ```
    /// threadctx::get_thread_ctx();
    /// for context in threadctx::dump().contexts() {
    ///     println!("{} has {} values", context.ident(), context.values().len());
    /// }
    /// ```
    pub fn contexts(&self) -> &[DumpedContext] {
        &self.picture.contexts
    }

    /// What is in it and what is not, in numbers.
    ///
    /// ```
    /// let dump = threadctx::dump();
    /// assert_eq!(dump.counts().contexts, dump.contexts().len());
    /// ```
    pub fn counts(&self) -> DumpCounts {
        self.picture.end.counts
    }

    /// What it concludes, the longest standing first.
    ///
    /// ```
    /// for finding in threadctx::dump().findings() {
    ///     eprintln!("{finding}");
    /// }
    /// ```
    pub fn findings(&self) -> &[Finding] {
        &self.picture.end.findings
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Layout { style: self.layout.style.coloured(false), ..self.layout };
        text::write(&self.picture, plain, f)
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump").field("counts", &self.picture.end.counts).finish_non_exhaustive()
    }
}

impl Serialize for Dump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.picture.serialize(serializer)
    }
}
