//! Streams with a context of their own, on any executor. Feature `stream`.
//!
//! What a future makes and hands out, such as a stream of rows or a response's body, is polled after the future is done, and so
//! outside its context. A stream takes a context along as a future does.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::{InContext, Snapshot};

/// Gives any stream a context of its own.
///
/// ```
/// use futures_core::Stream;
/// use threadctx::{Key, stream::InContextExt};
///
/// static USER: Key<String> = Key::new("http", "user").inherit();
///
/// fn users() -> impl Stream<Item = Option<String>> {
///     # struct Users;
///     # impl Stream for Users {
///     #     type Item = Option<String>;
///     #     fn poll_next(
///     #         self: std::pin::Pin<&mut Self>,
///     #         _: &mut std::task::Context<'_>,
///     #     ) -> std::task::Poll<Option<Self::Item>> {
///     #         std::task::Poll::Ready(Some(USER.cloned()))
///     #     }
///     # }
///     # /*
///     stream::repeat_with(|| USER.cloned())
///     # */
///     # Users
/// }
///
/// let of_alice = USER.scope("alice".to_owned(), || users().in_context());
/// let mut of_alice = std::pin::pin!(of_alice);
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # let std::task::Poll::Ready(Some(user)) = of_alice.as_mut().poll_next(&mut cx) else { unreachable!() };
/// # /*
/// let user = of_alice.next().await.unwrap();
/// # */
/// assert_eq!(user.as_deref(), Some("alice"));
/// assert_eq!(USER.cloned(), None);
/// ```
pub trait InContextExt: Stream {
    /// Gives the stream a context of its own, with the values that travel from the context where this is called. The context
    /// exits when the stream has ended or is dropped.
    ///
    /// ```
    /// # use futures_core::Stream;
    /// use threadctx::stream::InContextExt;
    ///
    /// fn listed(rows: impl Stream<Item = u64>) {
    ///     let rows = rows.in_context().named("rows");
    ///     assert!(threadctx::context(rows.handle().ident()).is_some());
    /// }
    /// ```
    fn in_context(self) -> InContext<Self>
    where
        Self: Sized,
    {
        InContext::begin(Snapshot::capture(), || self)
    }
}

impl<S: Stream> InContextExt for S {}

/// After its end it gives `None`, however often it is polled.
impl<S: Stream> Stream for InContext<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.poll_until(|stream| stream.poll_next(cx), |polled| matches!(polled, Poll::Ready(None)))
            .unwrap_or(Poll::Ready(None))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner().map_or((0, Some(0)), Stream::size_hint)
    }
}
