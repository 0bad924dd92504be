//! A name in its namespace, with its hash: worked out once per access, whatever is then looked up by it.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{BuildHasher, Hasher},
};

/// What somebody asks for by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TitleRef<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    hash: u64,
}

impl<'a> TitleRef<'a> {
    pub(crate) fn new(namespace: &'a str, name: &'a str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(namespace.as_bytes());
        // A byte that no text has.
        hasher.write_u8(0xff);
        hasher.write(name.as_bytes());
        Self { namespace, name, hash: hasher.finish() }
    }

    pub(crate) fn hash(self) -> u64 {
        self.hash
    }

    /// Part of the hash, for readers to skip by what cannot be theirs.
    pub(crate) fn mark(self) -> u32 {
        self.hash as u32
    }
}

impl PartialEq for TitleRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.name == other.name && self.namespace == other.namespace
    }
}

impl Eq for TitleRef<'_> {}

/// A title to keep.
#[derive(Debug)]
pub(crate) struct Title {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    hash: u64,
}

impl Title {
    pub(crate) fn of(title: TitleRef<'_>) -> Self {
        let TitleRef { namespace, name, hash } = title;
        Self { namespace: namespace.into(), name: name.into(), hash }
    }

    pub(crate) fn borrowed(&self) -> TitleRef<'_> {
        TitleRef { namespace: &self.namespace, name: &self.name, hash: self.hash }
    }
}

/// For maps by title: the hash is there already.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hashed(u64);

impl BuildHasher for Hashed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for Hashed {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a title hashes as the number that it has");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
