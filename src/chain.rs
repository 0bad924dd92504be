//! A list that only grows and is read without a lock: what is in it stays for the life of the process.

use crate::sync::OnceBox;

/// Append-only; a reader sees each element from the moment it was added.
pub(crate) struct Chain<T>(OnceBox<Link<T>>);

struct Link<T> {
    value: T,
    next: Chain<T>,
}

impl<T> Chain<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(OnceBox::new())
    }

    /// Loom's atomics cannot be made at compile time.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(OnceBox::new())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut at = self;
        std::iter::from_fn(move || {
            let link = at.0.get()?;
            at = &link.next;
            Some(&link.value)
        })
    }

    /// The first element that `wanted` accepts; if there is none, `value` goes to the end and is it.
    ///
    /// Two threads that add at once agree: the later one meets the earlier one's element before its own.
    pub(crate) fn find_or_add(&self, wanted: impl Fn(&T) -> bool, value: T) -> &T {
        let mut at = self;
        let mut link = Box::new(Link { value, next: Self::new() });
        loop {
            if at.0.get().is_none() {
                match at.0.set(link) {
                    Ok(()) => return &at.0.get().expect("just set").value,
                    Err(refused) => link = refused,
                }
            }
            let found = at.0.get().expect("set by us or by somebody else");
            if wanted(&found.value) {
                return &found.value;
            }
            at = &found.next;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn threads_that_add_the_same_at_once_agree_on_one() {
        let chain = Chain::new();
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    (0..200).for_each(|n| assert_eq!(*chain.find_or_add(|have| *have == n, n), n));
                });
            }
        });
        let mut all: Vec<_> = chain.iter().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
    }
}
