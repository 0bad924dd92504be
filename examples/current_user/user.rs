//! Whom the current request is for. The key stays here.

use threadctx::{Key, accessors};

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
}

impl User {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

static CURRENT_USER: Key<User> = Key::new("http", "user").debug();

accessors! {
    /// The user that the current request is for.
    CURRENT_USER: User {
        get: pub(crate) get_current_user,
        scope: pub(crate) impersonate,
    }
}
