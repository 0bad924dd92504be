//! What a dump takes in: its limits and its filter.

use std::time::Duration;

use super::{Dump, capture::Capture, picture::Limits};
use crate::{ContextRef, registry};

/// Limits and a filter for a dump.
///
/// ```
/// use std::time::Duration;
/// use threadctx::DumpOptions;
///
/// let probe = threadctx::get_thread_ctx().namespace("probe");
/// probe.insert("log", "x".repeat(100)).unwrap();
/// let dump = DumpOptions::new()
///     .max_contexts(100)
///     .max_value_bytes(16)
///     .max_bytes(64 * 1024)
///     .budget(Duration::from_millis(250))
///     .namespace("pro*")
///     .take();
/// assert!(!dump.is_complete(), "the value was cut");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until `take`"]
pub struct DumpOptions {
    pub(super) limits: Limits,
    namespaces: Vec<String>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl DumpOptions {
    /// The usual limits: 10,000 contexts, 1 KiB per value, 16 MiB, 1 s.
    ///
    /// ```
    /// assert!(threadctx::DumpOptions::new().take().is_complete());
    /// ```
    pub fn new() -> Self {
        let limits = Limits {
            max_contexts: 10_000,
            max_value_bytes: 1 << 10,
            max_bytes: 16 << 20,
            budget_us: 1_000_000,
        };
        Self { limits, namespaces: Vec::new() }
    }

    /// At most so many contexts, the oldest ones.
    ///
    /// ```
    /// # threadctx::get_thread_ctx();
    /// assert!(!threadctx::DumpOptions::new().max_contexts(0).take().is_complete());
    /// ```
    pub fn max_contexts(mut self, contexts: usize) -> Self {
        self.limits.max_contexts = contexts;
        self
    }

    /// At most so many bytes of what a value's renderer gives; the rest is cut.
    ///
    /// ```
    /// # threadctx::get_thread_ctx().namespace("probe").insert("log", "long enough").unwrap();
    /// let dump = threadctx::DumpOptions::new().max_value_bytes(5).take();
    /// assert!(dump.to_string().contains("\"long\u{2026}"));
    /// ```
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_value_bytes = bytes;
        self
    }

    /// At most so many bytes in either form, text or JSON; what does not fit is left out and counted.
    ///
    /// ```
    /// let dump = threadctx::DumpOptions::new().max_bytes(2_000).take();
    /// assert!(dump.to_json().len() <= 2_000);
    /// ```
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_bytes = bytes;
        self
    }

    /// At most so much time. What is rendered when it is over is finished, since nothing can interrupt it; the rest is
    /// left out and counted.
    ///
    /// ```
    /// use std::time::Duration;
    /// # threadctx::get_thread_ctx();
    /// assert!(!threadctx::DumpOptions::new().budget(Duration::ZERO).take().is_complete());
    /// ```
    pub fn budget(mut self, budget: Duration) -> Self {
        self.limits.budget_us = budget.as_micros().try_into().unwrap_or(u64::MAX);
        self
    }

    /// Only namespaces that match `pattern`, in which `*` stands for anything, and only contexts that have a value in
    /// one. Given again: those that match either.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("http").insert("route", "/").unwrap();
    /// ctx.namespace("db").insert("pool", 1).unwrap();
    /// let dump = threadctx::DumpOptions::new().namespace("h*p").take().to_string();
    /// assert!(dump.contains("http.route") && !dump.contains("db.pool"));
    /// ```
    pub fn namespace(mut self, pattern: &str) -> Self {
        self.namespaces.push(pattern.to_owned());
        self
    }

    /// Takes the dump.
    ///
    /// ```
    /// println!("{}", threadctx::DumpOptions::new().take());
    /// ```
    pub fn take(&self) -> Dump {
        self.take_of(registry::all())
    }

    pub(crate) fn take_of(&self, contexts: Vec<ContextRef>) -> Dump {
        Dump::new(Capture::new(self).take(contexts))
    }

    pub(super) fn is_filtered(&self) -> bool {
        !self.namespaces.is_empty()
    }

    pub(super) fn wants(&self, namespace: &str) -> bool {
        !self.is_filtered() || self.namespaces.iter().any(|pattern| matches(pattern, namespace))
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for anything: each part between two stars is looked for behind
/// the one before it, the first and the last where they must stand.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("http", "http", true),
            ("http", "https", false),
            ("http*", "http", true),
            ("http*", "https", true),
            ("*http", "my.http", true),
            ("h*p", "http", true),
            ("h*p", "https", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*bc", "abc", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
