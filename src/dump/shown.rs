//! What a dump may show of a value, and the rendering of it into a bounded buffer.

use std::{
    any::Any,
    fmt::{self, Debug, Display, Write as _},
    io, str,
};

use serde::Serialize;

/// What a dump may show of a value. The type of the value is forgotten in the renderer's signature only.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    /// Its type's name.
    Opaque,
    /// The same and its age; nothing ever renders it.
    Secret,
    Debug(Render),
    Display(Render),
    Json(Render),
}

/// The same without what renders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ShownKind {
    Opaque,
    Secret,
    Debug,
    Display,
    Json,
}

/// Renders a value of the type that the renderer was made for. This is the user's code.
pub(crate) type Render = fn(&dyn Any, &mut Bounded) -> Result<(), RenderError>;

/// Why a renderer gave up; not a word where the buffer is full, which it knows itself.
pub(crate) struct RenderError(pub(crate) String);

impl Shown {
    pub(crate) const fn debug<T: Debug + 'static>() -> Self {
        Self::Debug(|value, out| out.say(format_args!("{:?}", typed::<T>(value)?)))
    }

    pub(crate) const fn display<T: Display + 'static>() -> Self {
        Self::Display(|value, out| out.say(format_args!("{}", typed::<T>(value)?)))
    }

    pub(crate) const fn json<T: Serialize + 'static>() -> Self {
        Self::Json(|value, out| {
            let value = typed::<T>(value)?;
            serde_json::to_writer(out, value).map_err(|error| RenderError(error.to_string()))
        })
    }

    pub(crate) const fn is_secret(self) -> bool {
        matches!(self, Self::Secret)
    }

    pub(crate) const fn is_opaque(self) -> bool {
        matches!(self, Self::Opaque)
    }

    pub(crate) fn same_kind(self, other: Self) -> bool {
        self.kind() == other.kind()
    }

    pub(crate) const fn kind(self) -> ShownKind {
        match self {
            Self::Opaque => ShownKind::Opaque,
            Self::Secret => ShownKind::Secret,
            Self::Debug(_) => ShownKind::Debug,
            Self::Display(_) => ShownKind::Display,
            Self::Json(_) => ShownKind::Json,
        }
    }

    pub(crate) const fn renderer(self) -> Option<Render> {
        match self {
            Self::Opaque | Self::Secret => None,
            Self::Debug(render) | Self::Display(render) | Self::Json(render) => Some(render),
        }
    }
}

impl ShownKind {
    /// As the JSON dump calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Opaque => "type",
            Self::Secret => "secret",
            Self::Debug => "debug",
            Self::Display => "display",
            Self::Json => "json",
        }
    }
}

fn typed<T: 'static>(value: &dyn Any) -> Result<&T, RenderError> {
    value.downcast_ref().ok_or_else(|| RenderError("not of the type that its key says".to_owned()))
}

/// A buffer that takes so many bytes and refuses the rest.
pub(crate) struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    is_cut: bool,
}

impl Bounded {
    /// Uses the room that `bytes` has.
    pub(crate) fn new(mut bytes: Vec<u8>, most: usize) -> Self {
        bytes.clear();
        Self { bytes, most, is_cut: false }
    }

    fn say(&mut self, text: fmt::Arguments<'_>) -> Result<(), RenderError> {
        self.write_fmt(text).map_err(|_| RenderError("its formatter gave an error".to_owned()))
    }

    /// Takes what fits, and remembers if that was not all.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len().min(self.most - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..fits]);
        self.is_cut |= fits < bytes.len();
        !self.is_cut
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// What was taken, up to the last whole character.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.bytes).unwrap_or_else(|error| {
            let whole = &self.bytes[..error.valid_up_to()];
            str::from_utf8(whole).unwrap_or_default()
        })
    }

    /// The room that it used.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.take(text.as_bytes()) { Ok(()) } else { Err(fmt::Error) }
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.take(bytes) { Ok(bytes.len()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_full_keeps_whole_characters() {
        for most in 0..=6 {
            let mut out = Bounded::new(Vec::new(), most);
            let fits = out.write_str("aäöu").is_ok();
            assert_eq!(fits, most == 6);
            assert_eq!(out.is_cut(), !fits);
            assert_eq!(out.text(), ["", "a", "a", "aä", "aä", "aäö", "aäöu"][most]);
        }
    }
}
