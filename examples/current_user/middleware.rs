//! Between the server and the application: who is it, and what if the application panics?

use std::panic::{self, AssertUnwindSafe};

use oxhttp::model::{Body, Request, Response, StatusCode, header::AUTHORIZATION};

use crate::user::{self, User};

/// An application: what a request is answered with.
pub(crate) type App = fn(&Request<Body>) -> Answer;

/// A status and a text.
pub(crate) type Answer = (StatusCode, String);

/// Runs `app` as the user whom the request names, and as nobody if it names none.
pub(crate) fn with_current_user(app: App, request: &Request<Body>) -> Answer {
    match named_in(request) {
        // The scope ends with the request, however that ends. What it does not know is never left behind.
        Some(user) => user::impersonate(user, || app(request)),
        None => app(request),
    }
}

/// A real one would look at more than a name.
fn named_in(request: &Request<Body>) -> Option<User> {
    request.headers().get(AUTHORIZATION)?.to_str().ok().map(User::named)
}

/// Answers for the application if it panics, so that the connection goes on, with the next request on the same thread.
pub(crate) fn contain_panics(serve: impl FnOnce() -> Answer) -> Response<Body> {
    let answer = panic::catch_unwind(AssertUnwindSafe(serve));
    let (status, text) =
        answer.unwrap_or_else(|_| (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong".to_owned()));
    Response::builder().status(status).body(Body::from(text)).expect("a status and a text make a response")
}
