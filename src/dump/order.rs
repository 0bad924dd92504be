//! The order in which a context's values are shown: by namespace and name.

use super::picture::Title;

/// Sorts titles. Most contexts have values of the same keys as the one before, so its order is tried first.
#[derive(Default)]
pub(super) struct Order {
    /// By their index, the keys that the order is one of; `None` where there were names.
    keys: Option<Vec<usize>>,
    /// Places among the titles, in the order of what is there.
    places: Vec<usize>,
}

impl Order {
    /// The places of `titles` in order, of several that are the same only one.
    pub(super) fn of<'t>(&mut self, titles: impl ExactSizeIterator<Item = &'t Title> + Clone) -> &[usize] {
        let is_known = |keys: &Vec<usize>| {
            titles.len() == keys.len()
                && titles.clone().zip(keys).all(|(title, key)| index(title) == Some(*key))
        };
        if !self.keys.as_ref().is_some_and(is_known) {
            self.sort(titles);
        }
        &self.places
    }

    fn sort<'t>(&mut self, titles: impl ExactSizeIterator<Item = &'t Title> + Clone) {
        self.keys = titles.clone().map(index).collect();
        let titles: Vec<_> = titles.collect();
        self.places = (0..titles.len()).collect();
        self.places.sort_by(|one, other| titles[*one].cmp(titles[*other]));
        self.places.dedup_by(|one, other| titles[*one].cmp(titles[*other]).is_eq());
    }
}

fn index(title: &Title) -> Option<usize> {
    match title {
        Title::OfKey(key) => Some(key.index()),
        Title::OfName(_) => None,
    }
}
