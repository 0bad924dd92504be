//! A text of which a dump keeps very many, most of them short: those need no memory of their own.

use std::{fmt, ops::Deref, str};

/// With so many bytes in place, it is as large as a `String`.
const ROOM: usize = 22;

#[derive(Clone)]
pub(crate) enum SmallStr {
    InPlace { length: u8, bytes: [u8; ROOM] },
    Allocated(Box<str>),
}

impl SmallStr {
    /// Needs no look whether they are a text, unlike the text itself.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::InPlace { length, bytes } => &bytes[..usize::from(*length)],
            Self::Allocated(text) => text.as_bytes(),
        }
    }
}

impl Default for SmallStr {
    fn default() -> Self {
        Self::InPlace { length: 0, bytes: [0; ROOM] }
    }
}

impl From<&str> for SmallStr {
    fn from(text: &str) -> Self {
        let mut bytes = [0; ROOM];
        let Some(room) = bytes.get_mut(..text.len()) else { return Self::Allocated(text.into()) };
        room.copy_from_slice(text.as_bytes());
        Self::InPlace { length: text.len() as u8, bytes }
    }
}

impl Deref for SmallStr {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::InPlace { .. } => str::from_utf8(self.as_bytes()).expect("it was a text"),
            Self::Allocated(text) => text,
        }
    }
}

impl fmt::Debug for SmallStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_stays_as_it_was() {
        for length in 0..2 * ROOM {
            let text: String = "añ→".chars().cycle().take(length).collect();
            let small = SmallStr::from(&*text);
            assert_eq!(&*small, text);
            assert_eq!(&*small.clone(), text);
            assert_eq!(matches!(small, SmallStr::InPlace { .. }), text.len() <= ROOM);
        }
        assert_eq!(&*SmallStr::default(), "");
    }

    #[test]
    fn it_is_no_larger_than_a_string() {
        assert_eq!(size_of::<SmallStr>(), size_of::<String>());
    }
}
