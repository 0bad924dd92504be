//! An owned picture of all contexts first, then its renderings.

use std::fmt;

use serde::{Serialize, Serializer};

mod capture;
mod options;
mod picture;
mod process;
mod shown;
mod text;

use picture::Picture;

pub use options::DumpOptions;
pub(crate) use shown::Shown;

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
}

/// A picture of all contexts, taken with the usual limits: see [`DumpOptions`].
///
/// Stops and blocks nobody, and runs values' renderers with nothing locked, so that a renderer may use the whole crate. A
/// value whose renderer panics shows the panic's message.
///
/// ```
/// threadctx::get_thread_ctx().namespace("probe").insert("rate", 50_u32).unwrap();
/// eprintln!("{}", threadctx::dump());
/// ```
pub fn dump() -> Dump {
    DumpOptions::new().take()
}

impl Dump {
    fn new(picture: Picture) -> Self {
        Self { picture }
    }

    /// The dump as JSON, in the schema that it names itself. Times are in microseconds.
    ///
    /// ```
    /// let json: serde_json::Value = serde_json::from_str(&threadctx::dump().to_json()).unwrap();
    /// assert_eq!(json["schema"], "threadctx.dump/1");
    /// ```
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("a picture is texts, numbers and JSON, none of which can fail to serialize")
    }

    /// False when anything was left out, cut, or busy.
    ///
    /// ```
    /// assert!(threadctx::dump().is_complete());
    /// ```
    pub fn is_complete(&self) -> bool {
        self.picture.complete
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.picture.fmt(f)
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump").field("counts", &self.picture.counts).finish_non_exhaustive()
    }
}

impl Serialize for Dump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.picture.serialize(serializer)
    }
}
