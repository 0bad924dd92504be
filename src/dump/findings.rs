//! What a dump concludes from what it saw.

use std::fmt;

use serde::Serialize;

use super::{
    escape::{Age, Count, Escaped},
    facts,
    picture::{DumpedContext, Problem},
};
use crate::Ident;

/// Something in a dump that deserves a look. Prints as a sentence.
///
/// ```
/// use std::time::Duration;
///
/// threadctx::get_thread_ctx().namespace("probe").insert("rate", 50_u32).unwrap();
/// let dump = threadctx::DumpOptions::new().stale_after(Duration::ZERO).take();
/// let finding = &dump.findings()[0];
/// assert_eq!(finding.code(), "stale");
/// assert!(finding.to_string().contains("no write for"));
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    code: &'static str,
    #[serde(serialize_with = "super::picture::as_text")]
    ident: Ident,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_tid: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    us: Option<u64>,
    /// Of a stale context: how many others have written lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<usize>,
    /// The value that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// Findings being collected while the contexts pass by.
#[derive(Default)]
pub(super) struct Collector {
    findings: Vec<Finding>,
    /// Contexts that have written within the last second.
    lively: usize,
}

/// A context that has written within so many microseconds is at work.
const LATELY: u64 = 1_000_000;
/// More findings are counted, not listed.
const MOST: usize = 100;
/// What a finding takes in either form, beside the texts in it.
pub(super) const FRAME: usize = 240;

impl Collector {
    /// Notes what is to be said of `context`, and gives how many findings there was no room for: `fits` says whether there
    /// are so many bytes left, and takes them.
    pub(super) fn see(&mut self, context: &DumpedContext, mut fits: impl FnMut(&Finding) -> bool) -> usize {
        self.lively += usize::from(context.last_write_us_ago.is_some_and(|ago| ago <= LATELY));
        let mut left_out = 0;
        for finding in of(context) {
            if self.findings.len() < MOST && fits(&finding) {
                self.findings.push(finding);
            } else {
                left_out += 1;
            }
        }
        left_out
    }

    /// The findings, the longest standing first.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        let Self { mut findings, lively } = self;
        for finding in findings.iter_mut().filter(|finding| finding.code == "stale") {
            let itself = usize::from(finding.us.is_some_and(|us| us <= LATELY));
            finding.others = Some(lively - itself);
        }
        // What is no matter of time first.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.us.unwrap_or(u64::MAX)));
        findings
    }
}

fn of(context: &DumpedContext) -> impl Iterator<Item = Finding> {
    let stale = context.stale.then(|| Finding::new("stale", context));
    let stale = stale.map(|finding| Finding { us: context.last_write_us_ago, ..finding });
    let gone = (context.run_state == Some(facts::GONE)).then(|| Finding::new("gone", context));
    let hung = context.values.iter().filter(|value| value.problem == Some(Problem::Hung)).map(|value| {
        let (namespace, name) = (value.namespace().to_owned(), value.name().to_owned());
        Finding { namespace: Some(namespace), value: Some(name), ..Finding::new("hung", context) }
    });
    stale.into_iter().chain(gone).chain(hung)
}

impl Finding {
    fn new(code: &'static str, context: &DumpedContext) -> Self {
        let DumpedContext { ident, name, os_tid, .. } = context;
        let (ident, name, os_tid) = (*ident, name.clone(), *os_tid);
        Self { code, ident, name, os_tid, us: None, others: None, namespace: None, value: None }
    }

    /// What kind of finding it is: `stale`, `gone`, `hung`, and others in versions to come.
    ///
    /// ```
    /// let dump = threadctx::dump();
    /// assert!(dump.findings().iter().all(|finding| finding.code() != "gone"));
    /// ```
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whose context it is about.
    ///
    /// ```
    /// for finding in threadctx::dump().findings() {
    ///     println!("{}: {finding}", finding.ident());
    /// }
    /// ```
    pub fn ident(&self) -> Ident {
        self.ident
    }

    /// Its texts, which is what a limit on bytes has to know.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = [self.name.as_deref(), self.namespace.as_deref(), self.value.as_deref()];
        texts.into_iter().flatten()
    }

    fn write_whose(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" {}", Escaped(self.name.as_deref().unwrap_or("")), self.ident)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_whose(f)?;
        match self.code {
            "stale" => {
                write!(f, ": no write for {}", Age(self.us.unwrap_or(0)))?;
                match self.others {
                    None | Some(0) => Ok(()),
                    Some(others) => {
                        write!(f, " while {} wrote within 1s", Count(others, "other"))
                    }
                }
            }
            "gone" => {
                if let Some(tid) = self.os_tid {
                    write!(f, " tid {tid}")?;
                }
                write!(f, " is gone, its context is not")
            }
            _ => {
                let [namespace, name] =
                    [&self.namespace, &self.value].map(|text| text.as_deref().unwrap_or(""));
                write!(f, ": the renderer of {}.{} does not end", Escaped(namespace), Escaped(name))
            }
        }
    }
}
