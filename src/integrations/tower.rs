//! A layer that gives each request a context of its own, with an id.
//!
//! Handlers, and everything that they call, in any module, find the request's values by keys and accessors; across awaits
//! by themselves, across spawns with the twins of [`threadctx::tokio`](crate::tokio) and [`threadctx::rayon`](crate::rayon),
//! if the keys inherit. A request begins with nothing but its id: what the connection's thread or task has is not its own.
//!
//! ```
//! use http::{Request, Response};
//! use threadctx::{Key, accessors, tower::{RequestLayer, get_current_request_id}};
//! use tower_layer::Layer;
//! use tower_service::Service;
//!
//! static CURRENT_USER: Key<String> = Key::new("http", "user").display().inherit();
//!
//! accessors! {
//!     CURRENT_USER: String { get: pub get_current_user, set: set_current_user }
//! }
//!
//! let layer = RequestLayer::new().on_request(|request| {
//!     if let Some(user) = request.headers.get("x-user").and_then(|user| user.to_str().ok()) {
//!         set_current_user(user.to_owned());
//!     }
//! });
//! # struct Handler;
//! # impl Service<Request<()>> for Handler {
//! #     type Response = Response<String>;
//! #     type Error = std::convert::Infallible;
//! #     type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<String>, Self::Error>>>>;
//! #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
//! #         std::task::Poll::Ready(Ok(()))
//! #     }
//! #     fn call(&mut self, _: Request<()>) -> Self::Future {
//! #         Box::pin(handler())
//! #     }
//! # }
//! # let handler_service = Handler;
//!
//! async fn handler() -> Result<Response<String>, std::convert::Infallible> {
//!     let (id, user) = (get_current_request_id().unwrap(), get_current_user().unwrap());
//!     Ok(Response::new(format!("{id} is for {user}")))
//! }
//!
//! let mut service = layer.layer(handler_service);
//! let request = Request::builder().header("x-user", "alice").header("x-request-id", "7-a").body(()).unwrap();
//! # fn block_on<F: Future>(future: F) -> F::Output {
//! #     let mut future = std::pin::pin!(future);
//! #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
//! #     loop { if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut cx) { return output; } }
//! # }
//! let response = block_on(service.call(request)).unwrap();
//! assert_eq!(response.headers()["x-request-id"], "7-a");
//! assert_eq!(response.body(), "7-a is for alice");
//! assert!(get_current_user().is_none());
//! ```
//!
//! The context is over when the response is there. A body that is streamed later is none of it: if making it needs the
//! values, capture them in the handler.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    process,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use ::http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{InContext, Key, Snapshot, accessors};

/// The id of the request that is being worked for. It travels, and a dump shows it.
static REQUEST_ID: Key<RequestId> = Key::new("http", "request_id").display().inherit();

accessors! {
    /// The id of the request that the current context works for: that of the [`RequestLayer`] around it, or the one that
    /// travelled here.
    REQUEST_ID: RequestId { get: pub get_current_request_id }
}

/// What identifies a request in logs and dumps, here and at other services: up to 128 letters, digits and `-_.~:/+=@`.
///
/// ```
/// use threadctx::tower::RequestId;
///
/// assert_eq!(RequestId::parse("7f3a-1").unwrap().as_str(), "7f3a-1");
/// assert!(RequestId::parse("two words").is_none());
/// assert!(RequestId::parse("").is_none());
/// assert_ne!(RequestId::made(), RequestId::made());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// How many bytes an id has at the most.
    ///
    /// ```
    /// use threadctx::tower::RequestId;
    ///
    /// assert!(RequestId::parse(&"7".repeat(RequestId::MAX_LEN)).is_some());
    /// assert!(RequestId::parse(&"7".repeat(RequestId::MAX_LEN + 1)).is_none());
    /// ```
    pub const MAX_LEN: usize = 128;

    /// The id that goes by `text`, if that is one.
    ///
    /// ```
    /// assert!(threadctx::tower::RequestId::parse("no\nnews").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/+=@".contains(&byte);
        let is_one = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(is_allowed);
        is_one.then(|| Self(text.into()))
    }

    /// A new id: 32 hexadecimal digits that no other request has, in this process or, as far as chance goes, in another.
    ///
    /// ```
    /// assert_eq!(threadctx::tower::RequestId::made().as_str().len(), 32);
    /// ```
    pub fn made() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        static SEEDS: OnceLock<[RandomState; 2]> = OnceLock::new();
        let seeds = SEEDS.get_or_init(|| [RandomState::new(), RandomState::new()]);
        // Relaxed: the number alone matters, and the addition makes it unique. A forked child has the same seeds and count.
        let number = (process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let [one, other] = seeds.each_ref().map(|seed| seed.hash_one(number));
        Self(format!("{one:016x}{other:016x}").into())
    }

    /// The id as text.
    ///
    /// ```
    /// assert_eq!(threadctx::tower::RequestId::parse("7").unwrap().as_str(), "7");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

type OnRequest = Arc<dyn Fn(&Parts) + Send + Sync>;
type NameOf = Arc<dyn Fn(&Parts) -> String + Send + Sync>;

/// Gives each request a context of its own: see [the module](self).
///
/// An incoming `x-request-id` is kept if it is a [`RequestId`], else one is made. The request's headers have it in place of all
/// that came, its extensions have it as a [`RequestId`], and the response has it in place of any that the service has put there.
/// So the service, its logs, the services it calls with these headers and the client agree. A layer inside another one takes
/// over the outer one's id.
///
/// # Order of layers
///
/// Make this the outermost layer. A response that a layer further out makes itself carries no id, and its code runs outside the
/// request's context: that of a timeout, a limit or a panic catcher around this layer. Inside this layer they do. An error of the
/// service is handed on as it is: where it is turned into a response further out, that has no id either.
///
/// ```
/// use threadctx::tower::RequestLayer;
///
/// let layer = RequestLayer::new();
/// ```
#[derive(Clone)]
pub struct RequestLayer {
    header: HeaderName,
    on_request: Vec<OnRequest>,
    name_of: Option<NameOf>,
}

impl Default for RequestLayer {
    fn default() -> Self {
        Self { header: HeaderName::from_static("x-request-id"), on_request: Vec::new(), name_of: None }
    }
}

impl RequestLayer {
    /// A layer with the usual header that puts in nothing but the id.
    ///
    /// ```
    /// let layer = threadctx::tower::RequestLayer::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the id come and go in another header.
    ///
    /// ```
    /// use http::HeaderName;
    ///
    /// let layer = threadctx::tower::RequestLayer::new().header(HeaderName::from_static("x-correlation-id"));
    /// ```
    pub fn header(self, header: HeaderName) -> Self {
        Self { header, ..self }
    }

    /// Has `hook` run for each request, in the request's context and before the service is called, so that it can put in
    /// whom the request is for. Given again: after the earlier ones. A panic in it is the request's.
    ///
    /// ```
    /// static ROUTE: threadctx::Key<String> = threadctx::Key::new("http", "route").debug();
    ///
    /// let layer = threadctx::tower::RequestLayer::new().on_request(|request| ROUTE.set(request.uri.path().to_owned()));
    /// ```
    pub fn on_request(mut self, hook: impl Fn(&Parts) + Send + Sync + 'static) -> Self {
        self.on_request.push(Arc::new(hook));
        self
    }

    /// Has each request's context go by a name in dumps, as a thread does. Without this they have none: a path can hold what
    /// is nobody's business, so it is for you to say what of a request is fit to be read. A panic in `name` is the request's.
    ///
    /// ```
    /// use threadctx::tower::RequestLayer;
    ///
    /// let layer = RequestLayer::new().named_by(|request| format!("{} {}", request.method, request.uri.path()));
    /// ```
    pub fn named_by(self, name: impl Fn(&Parts) -> String + Send + Sync + 'static) -> Self {
        Self { name_of: Some(Arc::new(name)), ..self }
    }

    /// The id that came in the header, else that of a layer further out, else a new one.
    fn identify(&self, request: &Parts) -> RequestId {
        let incoming = request.headers.get(&self.header).and_then(|id| id.to_str().ok());
        let outer = || request.extensions.get().cloned();
        incoming.and_then(RequestId::parse).or_else(outer).unwrap_or_else(RequestId::made)
    }
}

impl fmt::Debug for RequestLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLayer").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        RequestService { inner, layer: self.clone() }
    }
}

/// The service that a [`RequestLayer`] makes.
///
/// ```
/// use threadctx::tower::{RequestLayer, RequestService};
/// use tower_layer::Layer;
///
/// struct Handler;
///
/// let service: RequestService<Handler> = RequestLayer::new().layer(Handler);
/// # drop(service);
/// ```
#[derive(Clone, Debug)]
pub struct RequestService<S> {
    inner: S,
    layer: RequestLayer,
}

impl<S, B, R> Service<Request<B>> for RequestService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S::Future> {
        let Self { inner, layer } = self;
        let (mut parts, body) = request.into_parts();
        let id = layer.identify(&parts);
        let value =
            HeaderValue::from_str(id.as_str()).expect("an id has only characters that a header may have");
        // In place of all that came: the service must not meet one that was refused.
        parts.headers.insert(layer.header.clone(), value.clone());
        parts.extensions.insert(id.clone());
        let name = layer.name_of.as_ref().map(|name| name(&parts));
        let answer = InContext::begin(Snapshot::default(), || {
            REQUEST_ID.set(id);
            layer.on_request.iter().for_each(|hook| hook(&parts));
            inner.call(Request::from_parts(parts, body))
        });
        let answer = match name {
            Some(name) => answer.named(name),
            None => answer,
        };
        ResponseFuture { answer, header: Some((layer.header.clone(), value)) }
    }
}

pin_project! {
    /// The response of a [`RequestService`], in the context of its request until it is there.
    ///
    /// ```
    /// use std::{convert::Infallible, future::Ready, task::{Context, Poll}};
    /// use http::{Request, Response};
    /// use threadctx::tower::{RequestLayer, ResponseFuture, get_current_request_id};
    /// use tower_layer::Layer;
    /// use tower_service::Service;
    ///
    /// struct Handler;
    ///
    /// impl Service<Request<()>> for Handler {
    ///     type Response = Response<()>;
    ///     type Error = Infallible;
    ///     type Future = Ready<Result<Response<()>, Infallible>>;
    ///
    ///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
    ///         Poll::Ready(Ok(()))
    ///     }
    ///
    ///     fn call(&mut self, _: Request<()>) -> Self::Future {
    ///         assert!(get_current_request_id().is_some());
    ///         std::future::ready(Ok(Response::new(())))
    ///     }
    /// }
    ///
    /// let response: ResponseFuture<_> = RequestLayer::new().layer(Handler).call(Request::new(()));
    /// assert!(get_current_request_id().is_none(), "it is the request's, not the caller's");
    /// # drop(response);
    /// ```
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        answer: InContext<F>,
        // Nothing once it is on the response.
        header: Option<(HeaderName, HeaderValue)>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.answer.poll(cx).map_ok(|mut response| {
            if let Some((name, value)) = this.header.take() {
                response.headers_mut().insert(name, value);
            }
            response
        })
    }
}
