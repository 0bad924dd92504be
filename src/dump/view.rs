//! What one can ask a dump, without reading its text or JSON.

use super::{
    picture::{Content, DumpedContext, DumpedValue},
    shown::ShownKind,
};
use crate::Ident;

impl DumpedContext {
    /// Whose context it is.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// assert!(threadctx::dump().contexts().iter().any(|context| context.ident() == me.ident()));
    /// ```
    pub fn ident(&self) -> Ident {
        self.ident
    }

    /// The name of the thread or task, if it was given one.
    ///
    /// ```
    /// let named = std::thread::Builder::new().name("indexer".into());
    /// let thread = named.spawn(|| threadctx::get_thread_ctx().handle().dump()).unwrap();
    /// assert_eq!(thread.join().unwrap().contexts()[0].name(), Some("indexer"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How long ago a value that a dump shows was last written, in microseconds; none if there is none.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(me.handle().dump().contexts()[0].last_write_us_ago().is_some());
    /// ```
    pub fn last_write_us_ago(&self) -> Option<u64> {
        self.last_write_us_ago
    }

    /// Whether that is longer ago than [`DumpOptions::stale_after`](crate::DumpOptions::stale_after) allows.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// assert!(!me.handle().dump().contexts()[0].is_stale(), "nobody set a threshold");
    /// ```
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The values, by namespace and name.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// for value in me.handle().dump().contexts()[0].values() {
    ///     println!("{}.{} is a {}", value.namespace(), value.name(), value.type_name());
    /// }
    /// ```
    pub fn values(&self) -> &[DumpedValue] {
        &self.values
    }

    /// The value of this namespace and name.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(me.handle().dump().contexts()[0].value("probe", "rate").is_some());
    /// ```
    pub fn value(&self, namespace: &str, name: &str) -> Option<&DumpedValue> {
        self.values.iter().find(|value| value.namespace() == namespace && value.name() == name)
    }
}

impl DumpedValue {
    /// The namespace that it is in.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(me.handle().dump().contexts()[0].values().iter().any(|value| value.namespace() == "probe"));
    /// ```
    pub fn namespace(&self) -> &str {
        self.title.namespace()
    }

    /// Its name there.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(me.handle().dump().contexts()[0].values().iter().any(|value| value.name() == "rate"));
    /// ```
    pub fn name(&self) -> &str {
        self.title.name()
    }

    /// Its type, as `std::any::type_name` has it.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// let dump = me.handle().dump();
    /// assert_eq!(dump.contexts()[0].value("probe", "rate").unwrap().type_name(), "u32");
    /// ```
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// What its renderer gave, or the beginning of it; none where nothing is shown, as of a secret, or there was a problem.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("auth").insert_secret("token", "hunter2").unwrap();
    /// let dump = me.handle().dump();
    /// assert_eq!(dump.contexts()[0].value("auth", "token").unwrap().text(), None);
    /// ```
    pub fn text(&self) -> Option<&str> {
        match self.content() {
            Content::None | Content::Problem(_) => None,
            _ => Some(&self.text),
        }
    }

    /// Why there is no text though there should be: its renderer panicked, failed or did not end, or it was being written.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert_eq!(me.handle().dump().contexts()[0].value("probe", "rate").unwrap().problem(), None);
    /// ```
    pub fn problem(&self) -> Option<&str> {
        self.problem.map(|_| &*self.text)
    }

    /// Whether it is a secret, of which a dump has nothing but the type and the age.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("auth").insert_secret("token", "hunter2").unwrap();
    /// assert!(me.handle().dump().contexts()[0].value("auth", "token").unwrap().is_secret());
    /// ```
    pub fn is_secret(&self) -> bool {
        self.kind == ShownKind::Secret
    }

    /// Whether the text was cut at the limit.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(!me.handle().dump().contexts()[0].value("probe", "rate").unwrap().is_truncated());
    /// ```
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// How long ago it was last written, in microseconds; none for values that a dump does not show.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx();
    /// me.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(me.handle().dump().contexts()[0].value("probe", "rate").unwrap().age_us().is_some());
    /// ```
    pub fn age_us(&self) -> Option<u64> {
        self.stamp.map(|stamp| stamp.age_us)
    }
}
