//! Which contexts and values a dump takes in.

use super::picture::{Content, DumpedContext, DumpedValue};
use crate::{
    context::Context,
    names::Named,
    slot::{KeySlot, RawSlot, Slot},
};

/// How often a dump looks at a slot that is being written before it calls it busy.
pub(super) const LOOKS: Option<u32> = Some(10_000);

/// Nothing in it: everything is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Any of these, if there are some.
    pub(super) namespaces: Vec<Pattern>,
    /// Any of these, if there are some.
    pub(super) names: Vec<Pattern>,
    /// All of these.
    pub(super) values: Vec<Condition>,
    /// In microseconds.
    pub(super) stale_for: Option<u64>,
}

/// That a value is shown as a text that matches.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) text: Pattern,
}

/// A text in which `*` stands for anything, and a backslash before it, or before another one, for just that.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// As it was given.
    given: String,
    /// The texts around the stars: one if there is no star.
    parts: Vec<String>,
}

impl From<&str> for Pattern {
    fn from(given: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut chars = given.chars().peekable();
        while let Some(c) = chars.next() {
            let escaped = if c == '\\' { chars.next_if(|next| matches!(next, '*' | '\\')) } else { None };
            match (c, escaped, parts.last_mut()) {
                ('*', ..) => parts.push(String::new()),
                (_, _, Some(part)) => part.push(escaped.unwrap_or(c)),
                (_, _, None) => {}
            }
        }
        Self { given: given.to_owned(), parts }
    }
}

impl Pattern {
    pub(super) fn as_str(&self) -> &str {
        &self.given
    }

    /// Each part between two stars is looked for behind the one before it, the first and the last where they must stand.
    pub(super) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &self.parts[..] else { return self.parts[0] == text };
        let Some(mut text) = text.strip_prefix(&**first) else { return false };
        for part in middle {
            let Some(at) = text.find(&**part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(&**last)
    }
}

impl Filter {
    /// Whether values of the namespace are wanted, as such.
    pub(super) fn wants(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || any_matches(&self.namespaces, namespace)
    }

    /// Whether such values have to be looked at: they are wanted, or a condition is about one of them.
    pub(super) fn needs(&self, namespace: &str) -> bool {
        self.wants(namespace)
            || self.is_conditional() && self.values.iter().any(|value| value.namespace == namespace)
    }

    /// Whether it depends on how values are shown.
    pub(super) fn is_conditional(&self) -> bool {
        !self.values.is_empty()
    }

    /// Whether the thread's or task's name is wanted; that of who has none is empty.
    pub(super) fn wants_named(&self, name: Option<&str>) -> bool {
        self.names.is_empty() || any_matches(&self.names, name.unwrap_or(""))
    }

    /// Whether the context has a value that is wanted, or may have, or everything is wanted.
    pub(super) fn wants_values_of(&self, context: Option<&Context>) -> bool {
        self.namespaces.is_empty()
            || context.is_some_and(|context| wanted_slots(self, context).next().is_some())
    }

    /// Whether the context as it was rendered meets the conditions on its values.
    pub(super) fn accepts(&self, context: &DumpedContext) -> bool {
        self.values.iter().all(|condition| {
            let value = context.value(&condition.namespace, &condition.name);
            value.is_some_and(|value| condition.is_met_by(value))
        })
    }

    /// When a value that is wanted was last written, as the slots have it; 0 if none was, as far as anybody counts.
    pub(super) fn last_write(&self, context: &Context) -> u64 {
        let written = |slot: &RawSlot| slot.history().0;
        let last = if self.namespaces.is_empty() {
            context.raw_slots().filter(|slot| slot.is_filled()).map(written).max()
        } else {
            wanted_slots(self, context).map(written).max()
        };
        last.unwrap_or(0)
    }
}

impl Condition {
    /// A text in quotes is met with or without them.
    fn is_met_by(&self, value: &DumpedValue) -> bool {
        let Some(text) = value.text() else { return false };
        let unquoted = match value.content() {
            Content::Json(json) => serde_json::from_str::<String>(json).ok(),
            _ => text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned),
        };
        self.text.matches(text) || unquoted.is_some_and(|text| self.text.matches(&text))
    }
}

/// The slots of the context that have a value that is wanted, or may have.
fn wanted_slots<'c>(filter: &'c Filter, context: &'c Context) -> impl Iterator<Item = &'c RawSlot> {
    let wants_name = |slot: &Slot<Named>| {
        let wants = |named: &Named| filter.wants(&named.about.title.namespace);
        filter.namespaces.is_empty() || slot.look(LOOKS, wants).unwrap_or(Some(true)) == Some(true)
    };
    let names = context.names().into_iter().flat_map(|names| names.filled());
    let names = names.filter(move |(_, slot)| wants_name(slot)).map(|(_, slot)| &***slot);
    let keys = context.filled_keys().filter(|slot| filter.wants(slot.key().namespace())).map(KeySlot::raw);
    keys.chain(names)
}

fn any_matches(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
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
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"a\\*", r"a\b", true),
            (r"a\\*", "a*", false),
            (r"*\**", "a*b", true),
            (r"*\**", "ab", false),
            (r"C:\dir", r"C:\dir", true),
            (r"end\", r"end\", true),
        ] {
            assert_eq!(Pattern::from(pattern).matches(text), expected, "{pattern} {text}");
        }
    }
}
