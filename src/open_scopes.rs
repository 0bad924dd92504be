//! The scopes that are open in one context, so that one that ends out of order is noticed.
//!
//! A value that is in place says nothing about the scope that put it there: code inside a scope may set the key as often as it
//! likes. So each context keeps the order in which its scopes began.

use crate::{
    current::Owner,
    identity::{self, Identity},
};

/// The keys that a scope sets.
#[derive(Clone, Copy)]
pub(crate) enum Covers {
    One(&'static Identity),
    /// Those that a snapshot has or hides.
    Inheriting,
}

impl Covers {
    fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(other)) => std::ptr::eq(one, other),
            (Self::One(one), Self::Inheriting) | (Self::Inheriting, Self::One(one)) => inherits(one),
            (Self::Inheriting, Self::Inheriting) => true,
        }
    }
}

fn inherits(identity: &Identity) -> bool {
    identity.travels() && identity::inheriting().any(|have| std::ptr::eq(have, identity))
}

/// Which scope of which context.
#[derive(Clone, Copy)]
pub(crate) struct ScopeId {
    context: u64,
    number: u64,
}

/// A scope that has begun and not ended.
pub(crate) struct OpenScope {
    number: u64,
    covers: Covers,
}

impl OpenScope {
    pub(crate) fn is_of_one_key(&self) -> bool {
        matches!(self.covers, Covers::One(_))
    }
}

/// In the order in which they began.
#[derive(Default)]
pub(crate) struct OpenScopes(Vec<OpenScope>);

impl OpenScopes {
    /// Ends a scope, and all later ones that set a key of its, since their values are no longer in place. Returns those;
    /// `None` if the scope was ended in this way itself.
    #[inline]
    fn end(&mut self, number: u64) -> Option<Vec<OpenScope>> {
        if self.0.last().is_some_and(|last| last.number == number) {
            self.0.pop();
            return Some(Vec::new());
        }
        self.end_out_of_order(number)
    }

    #[cold]
    fn end_out_of_order(&mut self, number: u64) -> Option<Vec<OpenScope>> {
        let at = self.0.iter().rposition(|open| open.number == number)?;
        let later = self.0.split_off(at + 1);
        let covers = self.0.pop()?.covers;
        let (ended, others) = later.into_iter().partition(|open| open.covers.overlaps(covers));
        let others: Vec<_> = others;
        self.0.extend(others);
        Some(ended)
    }
}

impl Owner<'_> {
    /// Notes that a scope begins.
    #[inline]
    pub(crate) fn begin_scope(self, covers: Covers) -> ScopeId {
        let number = self.next_fill();
        self.with_scopes(|scopes| scopes.0.push(OpenScope { number, covers }));
        ScopeId { context: self.context().serial(), number }
    }

    /// Whether the scope is one of this context.
    pub(crate) fn has_scope(self, scope: ScopeId) -> bool {
        scope.context == self.context().serial()
    }

    /// Notes that a scope of this context ends. Returns the later ones of its keys that were still open, which end with it;
    /// `None` if it ended like that itself.
    #[inline]
    pub(crate) fn end_scope(self, scope: ScopeId) -> Option<Vec<OpenScope>> {
        self.with_scopes(|scopes| scopes.end(scope.number))
    }

    /// Notes that scopes which were put aside go on, inside those that are open.
    pub(crate) fn resume_scopes(self, inside: Vec<OpenScope>) {
        if !inside.is_empty() {
            self.with_scopes(|scopes| scopes.0.extend(inside));
        }
    }

    #[inline]
    fn with_scopes<R>(self, code: impl FnOnce(&mut OpenScopes) -> R) -> R {
        let cell = &self.own().scopes;
        let mut scopes = cell.take().unwrap_or_else(none_yet);
        let result = code(&mut scopes);
        cell.set(Some(scopes));
        result
    }
}

#[cold]
fn none_yet() -> Box<OpenScopes> {
    Box::default()
}
