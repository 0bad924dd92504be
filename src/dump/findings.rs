//! What a dump concludes from what it saw.

use std::{collections::HashMap, fmt};

use serde::Serialize;

use super::{
    escape::{Age, Count, Escaped},
    facts, group,
    picture::{DumpedContext, Problem},
    unmoved::{Unmoved, Watched},
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
    /// Of a stale context: a number that it shares with those that show the same.
    #[serde(skip)]
    alike: Option<u64>,
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
    let stale = stale.map(|finding| Finding {
        us: context.last_write_us_ago,
        alike: Some(group::hash(context)),
        ..finding
    });
    // One that has exited meanwhile has a right to be gone.
    let is_ghost = context.run_state == Some(facts::GONE) && context.state != "exited";
    let gone = is_ghost.then(|| Finding::new("gone", context));
    let hung = context.values.iter().filter(|value| value.problem == Some(Problem::Hung)).map(|value| {
        let (namespace, name) = (value.namespace().to_owned(), value.name().to_owned());
        Finding { namespace: Some(namespace), value: Some(name), ..Finding::new("hung", context) }
    });
    let unmoved = context.unmoved.iter().map(|Unmoved { watched, us }| {
        Finding { us: Some(*us), ..Finding::new("unmoved", context) }.about(watched)
    });
    stale.into_iter().chain(gone).chain(unmoved).chain(hung)
}

impl Finding {
    fn new(code: &'static str, context: &DumpedContext) -> Self {
        let DumpedContext { ident, name, os_tid, .. } = context;
        let (ident, name, os_tid) = (*ident, name.clone(), *os_tid);
        Self { code, ident, name, os_tid, us: None, others: None, namespace: None, value: None, alike: None }
    }

    fn about(mut self, watched: &Watched) -> Self {
        let (namespace, name) = watched.parts();
        self.namespace = Some(namespace.to_owned());
        self.value = name.map(str::to_owned);
        self
    }

    /// What kind of finding it is: `stale`, `gone`, `unmoved`, `hung`, and others in versions to come.
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

    fn write_what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            "unmoved" => {
                let namespace = Escaped(self.namespace.as_deref().unwrap_or(""));
                let name = Escaped(self.value.as_deref().unwrap_or("*"));
                write!(f, ": {namespace}.{name} was not written for {}", Age(self.us.unwrap_or(0)))
            }
            _ => {
                let [namespace, name] =
                    [&self.namespace, &self.value].map(|text| text.as_deref().unwrap_or(""));
                write!(f, ": the renderer of {}.{} does not end", Escaped(namespace), Escaped(name))
            }
        }
    }
}

/// Findings that say the same of contexts that show the same: they share a line.
pub(super) struct Alike<'f> {
    first: &'f Finding,
    last: &'f Finding,
    count: usize,
}

impl<'f> Alike<'f> {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Ages differ by no more than the dump took: it is the idents that tell first from last.
    fn add(&mut self, finding: &'f Finding) {
        let order = |finding: &'f Finding| {
            let ident = finding.ident.to_string();
            (ident.len(), ident)
        };
        self.count += 1;
        self.first = if order(finding) < order(self.first) { finding } else { self.first };
        self.last = if order(finding) > order(self.last) { finding } else { self.last };
    }
}

/// The findings in such lines, in the order of the first in each.
pub(super) fn alike(findings: &[Finding]) -> Vec<Alike<'_>> {
    let mut lines: Vec<Alike<'_>> = Vec::new();
    let mut places = HashMap::new();
    for finding in findings {
        let place = finding.alike.map(|alike| *places.entry(alike).or_insert(lines.len()));
        match place.and_then(|place| lines.get_mut(place)) {
            Some(line) => line.add(finding),
            None => lines.push(Alike { first: finding, last: finding, count: 1 }),
        }
    }
    lines
}

impl fmt::Display for Alike<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, count } = self;
        if *count > 1 {
            write!(f, "{count} alike, ")?;
            first.write_whose(f)?;
            write!(f, " to ")?;
            last.write_whose(f)?;
            return first.write_what(f);
        }
        first.fmt(f)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_whose(f)?;
        self.write_what(f)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use crate::DumpOptions;

    #[test]
    fn stale_contexts_that_show_the_same_share_a_text_and_a_line_among_the_findings() {
        let (ready, wait) = mpsc::channel();
        let mut ends = Vec::new();
        for (number, state) in ["idle", "idle", "busy", "idle"].into_iter().enumerate() {
            let (end, over) = mpsc::channel::<()>();
            let ready = ready.clone();
            let body = move || {
                crate::get_thread_ctx().namespace("alike").insert("state", state).expect("the name is free");
                ready.send(()).expect("we wait");
                over.recv().expect_err("it hangs up");
            };
            let named = thread::Builder::new().name(format!("alike-{number}"));
            let thread = named.spawn(body).expect("there is room");
            wait.recv().expect("it comes");
            ends.push((end, thread));
        }
        let options = DumpOptions::new().thread_name("alike-*").stale_after(Duration::ZERO);
        let dump = options.take();
        assert_eq!(dump.findings().len(), 4, "each is known to tools");
        let text = dump.to_string();
        let group = text.lines().find(|line| line.starts_with("3 threads alike: ")).expect("a group");
        assert!(group.contains("\"alike-0\"..\"alike-1\", \"alike-3\"") && group.ends_with(" !!!"), "{text}");
        let findings: Vec<_> = text.lines().filter(|line| line.starts_with("  ! ")).collect();
        assert_eq!(findings.len(), 2, "{text}");
        assert!(findings.iter().any(|line| line.starts_with("  ! 3 alike, \"alike-")), "{text}");
        for (end, thread) in ends {
            drop(end);
            thread.join().expect("it ends");
        }
    }
}
