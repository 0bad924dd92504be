//! Feature `tower`: each request has a context of its own, and an id that comes back on the response.

#![cfg(not(loom))]

use std::{
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use http::{HeaderName, HeaderValue, Request, Response};
use threadctx::{
    ContextRef, FutureExt, Ident, Key, State, accessors, get_thread_ctx,
    tower::{RequestId, RequestLayer, get_current_request_id},
};
use tower_layer::Layer;
use tower_service::Service;

static USER: Key<String> = Key::new("tower", "user").inherit();

accessors! {
    USER: String { get: get_current_user, set: set_current_user }
}

/// A service made of a function.
struct ServiceFn<F>(F);

impl<F, Fut> Service<Request<()>> for ServiceFn<F>
where
    F: FnMut(Request<()>) -> Fut,
    Fut: Future<Output = Result<Response<String>, String>>,
{
    type Response = Response<String>;
    type Error = String;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Fut {
        (self.0)(request)
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn request(headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    request
}

fn id_of<B>(response: &Response<B>) -> &str {
    response.headers()["x-request-id"].to_str().unwrap()
}

/// Answers with the current request's id.
async fn echo(_: Request<()>) -> Result<Response<String>, String> {
    Ok(Response::new(get_current_request_id().unwrap().to_string()))
}

fn ask(layer: &RequestLayer, headers: &[(&'static str, &str)]) -> Response<String> {
    block_on(layer.layer(ServiceFn(echo)).call(request(headers))).unwrap()
}

#[test]
fn a_valid_id_is_kept_and_comes_back() {
    let longest = "x".repeat(RequestId::MAX_LEN);
    for id in ["7", "7f3a-1", "a.b~c:d/e+f=g@h_i", longest.as_str()] {
        let response = ask(&RequestLayer::new(), &[("x-request-id", id)]);
        assert_eq!((id_of(&response), response.body().as_str()), (id, id));
    }
}

#[test]
fn an_id_that_is_missing_or_is_none_is_made() {
    let too_long = "x".repeat(RequestId::MAX_LEN + 1);
    let bad =
        ["", "two words", "a\tb", "quote\"", "back\\slash", "<script>", "n\u{e4}h", "{}", too_long.as_str()];
    let mut seen = std::collections::HashSet::new();
    for headers in bad.iter().map(|id| vec![("x-request-id", *id)]).chain([vec![]]) {
        let response = ask(&RequestLayer::new(), &headers);
        let made = id_of(&response).to_owned();
        assert_eq!(*response.body(), made);
        assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        assert!(seen.insert(made), "an id twice");
    }
}

#[test]
fn of_several_ids_the_first_counts_and_the_services_own_is_replaced() {
    let service = ServiceFn(|_| {
        let response = Response::builder().header("x-request-id", "other").body(String::new());
        ready(Ok(response.unwrap()))
    });
    let ids = request(&[("x-request-id", "first"), ("x-request-id", "second")]);
    let response = block_on(RequestLayer::new().layer(service).call(ids)).unwrap();
    assert_eq!(response.headers().get_all("x-request-id").iter().collect::<Vec<_>>(), ["first"]);
}

/// Answers with all ids in the request's headers, and with the current one.
async fn headers(request: Request<()>) -> Result<Response<String>, String> {
    let all = request.headers().get_all("x-request-id").iter().map(|id| id.to_str().unwrap());
    let all = all.collect::<Vec<_>>().join(",");
    let current = get_current_request_id().unwrap();
    let noted = request.extensions().get::<RequestId>().unwrap();
    Ok(Response::new(format!("{all} {current} {noted}")))
}

#[test]
fn the_id_is_in_the_requests_headers_whether_it_came_or_was_made_in_place_of_all_others() {
    let cases: [&[(&str, &str)]; 6] = [
        &[],
        &[("x-request-id", "came")],
        &[("x-request-id", "a forged one")],
        &[("x-request-id", "came"), ("x-request-id", "second")],
        &[("x-request-id", "came"), ("x-request-id", "second, forged")],
        &[("x-request-id", "first, forged"), ("x-request-id", "second"), ("x-request-id", "third")],
    ];
    for ids in cases {
        let answer = RequestLayer::new().layer(ServiceFn(headers)).call(request(ids));
        let response = block_on(answer).unwrap();
        let id = id_of(&response);
        assert_eq!(*response.body(), format!("{id} {id} {id}"));
        let came = ids.first().is_some_and(|(_, id)| *id == "came");
        assert_eq!(id == "came", came, "{ids:?}");
    }
}

#[test]
fn hooks_and_names_find_the_id_in_the_headers_too() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (in_hook, in_name) = (Arc::clone(&seen), Arc::clone(&seen));
    let note = |seen: &Mutex<Vec<String>>, parts: &http::request::Parts| {
        seen.lock().unwrap().push(parts.headers["x-request-id"].to_str().unwrap().to_owned());
    };
    let layer = RequestLayer::new()
        .on_request(move |parts| note(&in_hook, parts))
        .named_by(move |parts| (note(&in_name, parts), String::new()).1);
    let response = ask(&layer, &[("x-request-id", "a forged one")]);
    let id = id_of(&response).to_owned();
    assert_eq!(*seen.lock().unwrap(), [id.clone(), id]);
}

#[test]
fn of_two_layers_one_inside_the_other_both_have_the_outer_ones_id() {
    let other = || RequestLayer::new().header(HeaderName::from_static("x-trace"));
    for came in [None, Some("came"), Some("a forged one")] {
        let ids: Vec<_> = came.map(|id| ("x-request-id", id)).into_iter().collect();
        let two =
            RequestLayer::new().layer(RequestLayer::new().layer(ServiceFn(headers))).call(request(&ids));
        let response = block_on(two).unwrap();
        let id = id_of(&response);
        assert_eq!(*response.body(), format!("{id} {id} {id}"));
        assert_eq!(response.headers().get_all("x-request-id").iter().count(), 1);
        // The inner one by another header, where none comes.
        let two = RequestLayer::new().layer(other().layer(ServiceFn(headers))).call(request(&ids));
        let response = block_on(two).unwrap();
        let id = id_of(&response);
        assert_eq!(*response.body(), format!("{id} {id} {id}"));
        assert_eq!(response.headers()["x-trace"], id);
    }
    // One comes by either header: the innermost layer's counts inside, and each header keeps its own.
    let both = request(&[("x-request-id", "outer"), ("x-trace", "inner")]);
    let response = block_on(RequestLayer::new().layer(other().layer(ServiceFn(headers))).call(both)).unwrap();
    assert_eq!(response.body(), "outer inner inner");
    assert_eq!((id_of(&response), &response.headers()["x-trace"]), ("outer", &"inner".parse().unwrap()));
}

#[test]
fn an_id_has_no_other_bytes_than_it_may_at_both_ends_and_inside() {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/+=@".contains(&byte);
    for byte in 0..=u8::MAX {
        let texts = [vec![byte], vec![byte, b'a'], vec![b'a', byte], vec![b'a', byte, b'a']];
        for text in texts {
            let parsed = std::str::from_utf8(&text).ok().and_then(RequestId::parse);
            assert_eq!(parsed.is_some(), is_allowed(byte), "{text:?}");
            // As it comes, be it text or not.
            let Ok(value) = HeaderValue::from_bytes(&text) else { continue };
            let mut request = Request::new(());
            request.headers_mut().insert("x-request-id", value.clone());
            let response = block_on(RequestLayer::new().layer(ServiceFn(echo)).call(request)).unwrap();
            assert_eq!(response.headers()["x-request-id"] == value, is_allowed(byte), "{text:?}");
        }
    }
}

#[test]
fn hooks_run_in_the_order_in_which_they_were_added() {
    let seen: Arc<Mutex<Vec<u32>>> = Arc::default();
    let layer = (1..=3).fold(RequestLayer::new(), |layer, number| {
        let seen = Arc::clone(&seen);
        layer.on_request(move |_| seen.lock().unwrap().push(number))
    });
    for _ in 0..2 {
        ask(&layer, &[]);
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), [1, 2, 3]);
    }
}

#[test]
fn another_header_may_be_the_one() {
    let layer = RequestLayer::new().header(HeaderName::from_static("x-trace"));
    let response = ask(&layer, &[("x-trace", "traced"), ("x-request-id", "ignored")]);
    assert_eq!(
        (response.body().as_str(), &response.headers()["x-trace"]),
        ("traced", &HeaderValue::from_static("traced"))
    );
    assert!(!response.headers().contains_key("x-request-id"));
}

#[test]
fn the_context_is_the_requests_from_the_hook_to_the_end_of_the_answer() {
    let seen: Arc<Mutex<Vec<ContextRef>>> = Arc::default();
    let note = |seen: &Arc<Mutex<Vec<ContextRef>>>| seen.lock().unwrap().push(get_thread_ctx().handle());
    let in_hook = Arc::clone(&seen);
    let layer = RequestLayer::new().on_request(move |_| note(&in_hook)).on_request(|request| {
        set_current_user(request.headers["x-user"].to_str().unwrap().to_owned());
    });
    let in_service = Arc::clone(&seen);
    let service = ServiceFn(move |_| {
        note(&in_service);
        let in_future = Arc::clone(&in_service);
        async move {
            note(&in_future);
            std::future::ready(()).await;
            Ok(Response::new(get_current_user().unwrap().to_string()))
        }
    });
    let answer = layer.layer(service).call(request(&[("x-user", "alice")]));
    assert!(get_current_user().is_none());
    let context = seen.lock().unwrap()[0].clone();
    assert_eq!(context.parent(), Some(std::thread::current().id().into()));
    assert_eq!(threadctx::context(context.ident()).unwrap().state(), State::Running);
    assert_eq!(block_on(answer).unwrap().body(), "alice");
    assert!(seen.lock().unwrap().iter().all(|seen| seen.ident() == context.ident()));
    assert!(matches!(context.ident(), Ident::Task(_)));
    assert_eq!((seen.lock().unwrap().len(), context.state()), (3, State::Exited));
}

#[test]
fn a_request_has_nothing_of_the_connections() {
    set_current_user("the connection's".to_owned());
    let service = ServiceFn(|_| ready(Ok(Response::new(format!("{:?}", get_current_user())))));
    let response = block_on(RequestLayer::new().layer(service).call(request(&[]))).unwrap();
    assert_eq!(response.body(), "None");
    assert_eq!(get_current_user().as_deref().map(String::as_str), Some("the connection's"));
}

#[test]
fn the_id_travels_and_a_dump_shows_it() {
    let service = ServiceFn(|_| async {
        let inner = async { (get_current_request_id().unwrap(), threadctx::dump().to_string()) }.in_context();
        let (id, dump) = inner.await;
        assert!(dump.contains(&format!("http.request_id = \"{id}\"")), "{dump}");
        Ok(Response::new(id.to_string()))
    });
    let response =
        block_on(RequestLayer::new().layer(service).call(request(&[("x-request-id", "shown")]))).unwrap();
    assert_eq!(response.body(), "shown");
}

#[test]
fn a_request_goes_by_the_name_that_its_layer_gives_it() {
    let service = || {
        ServiceFn(|_| async {
            let handle = get_thread_ctx().handle();
            Ok::<_, String>(Response::new(handle.name().unwrap_or("nobody").to_owned()))
        })
    };
    let named = RequestLayer::new().named_by(|request| format!("{} {}", request.method, request.uri.path()));
    for (layer, expected) in [(named, "GET /"), (RequestLayer::new(), "nobody")] {
        let response = block_on(layer.layer(service()).call(request(&[]))).unwrap();
        assert_eq!(response.body(), expected);
    }
}

#[test]
fn an_error_of_the_service_is_handed_on_and_the_context_ends() {
    let service = ServiceFn(|_| -> Ready<Result<Response<String>, String>> {
        ready(Err(get_thread_ctx().ident().to_string()))
    });
    let ident = block_on(RequestLayer::new().layer(service).call(request(&[]))).unwrap_err();
    assert!(ident.starts_with("TaskId("), "{ident}");
    assert!(threadctx::contexts().iter().all(|context| context.ident().to_string() != ident));
}

#[test]
fn a_panic_in_a_hook_or_in_the_call_leaves_no_context() {
    let before = get_thread_ctx().ident();
    let layer = RequestLayer::new().on_request(|_| panic!("expected"));
    let seen: Arc<Mutex<Option<ContextRef>>> = Arc::default();
    let note = Arc::clone(&seen);
    let failing = ServiceFn(move |_| -> Ready<Result<Response<String>, String>> {
        *note.lock().unwrap() = Some(get_thread_ctx().handle());
        panic!("expected")
    });
    let mut failing = RequestLayer::new().layer(failing);
    let call =
        |service: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(service)).is_err();
    assert!(call(&mut || drop(layer.layer(ServiceFn(echo)).call(request(&[])))));
    assert!(call(&mut || drop(failing.call(request(&[])))));
    assert_eq!(get_thread_ctx().ident(), before);
    assert_eq!(seen.lock().unwrap().as_ref().unwrap().state(), State::Exited);
}

#[test]
fn a_request_that_is_given_up_half_way_ends_its_context() {
    let seen: Arc<Mutex<Option<ContextRef>>> = Arc::default();
    let note = Arc::clone(&seen);
    let service = ServiceFn(move |_| -> Pin<Box<dyn Future<Output = Result<Response<String>, String>>>> {
        *note.lock().unwrap() = Some(get_thread_ctx().handle());
        Box::pin(std::future::pending())
    });
    let mut answer = Box::pin(RequestLayer::new().layer(service).call(request(&[])));
    assert!(answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(answer);
    assert_eq!(seen.lock().unwrap().as_ref().unwrap().state(), State::Exited);
}

#[test]
fn ids_that_are_made_differ_on_all_threads() {
    let made = Mutex::new(std::collections::HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1_000).for_each(|_| assert!(made.lock().unwrap().insert(RequestId::made()))));
        }
    });
}

type Answer = Ready<Result<Response<String>, String>>;

/// A service that answers with the id that it finds in the request's header, and with how many there are.
fn tells_its_header() -> ServiceFn<impl FnMut(Request<()>) -> Answer> {
    ServiceFn(|request: Request<()>| {
        let ids = request.headers().get_all("x-request-id");
        let count = ids.iter().count();
        let id = ids.iter().next().map_or("none", |id| id.to_str().unwrap());
        let context = get_current_request_id().map_or("none".to_owned(), |id| id.to_string());
        ready(Ok(Response::new(format!("{count} {id} {context}"))))
    })
}

#[test]
fn the_service_finds_the_id_in_the_request_whatever_came_with_it() {
    for headers in
        [&[][..], &[("x-request-id", "7-a")], &[("x-request-id", "forged, twice"), ("x-request-id", "8-b")]]
    {
        let response =
            block_on(RequestLayer::new().layer(tells_its_header()).call(request(headers))).unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.body(), &format!("1 {id} {id}"), "{headers:?}");
        assert!(!id.contains("forged"));
    }
}

#[test]
fn layers_inside_one_another_agree_on_one_id() {
    for headers in [&[][..], &[("x-request-id", "7-a")]] {
        let mut service = RequestLayer::new().layer(RequestLayer::new().layer(tells_its_header()));
        let response = block_on(service.call(request(headers))).unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.body(), &format!("1 {id} {id}"));
    }
}

#[test]
fn an_id_is_made_of_the_bytes_that_it_is_said_to_be_made_of() {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/+=@".contains(&byte);
    for byte in 0..=0x7f_u8 {
        let c = char::from(byte);
        for text in [c.to_string(), format!("{c}a"), format!("a{c}"), format!("a{c}a")] {
            assert_eq!(RequestId::parse(&text).is_some(), allowed(byte), "{text:?}");
        }
    }
    assert!(RequestId::parse("aé").is_none());
}

#[test]
fn hooks_run_in_the_order_in_which_they_were_given() {
    static ORDER: Key<Vec<u8>> = Key::new("tower", "order").init(Vec::new);
    let push = |number| move |_: &http::request::Parts| _ = ORDER.update(|order| order.push(number));
    let layer = RequestLayer::new().on_request(push(1)).on_request(push(2)).on_request(push(3));
    let tells = ServiceFn(|_| ready(Ok::<_, String>(Response::new(format!("{:?}", ORDER.cloned())))));
    let response = block_on(layer.layer(tells).call(request(&[]))).unwrap();
    assert_eq!(response.body(), "Some([1, 2, 3])");
}

#[test]
fn the_layer_is_ready_when_its_service_is() {
    /// Gives these answers, last one first.
    struct Ready(Vec<Poll<Result<(), String>>>);

    impl Service<Request<()>> for Ready {
        type Response = Response<String>;
        type Error = String;
        type Future = Pin<Box<dyn Future<Output = Result<Response<String>, String>>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
            self.0.pop().expect("it is asked no more often")
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            Box::pin(echo(request))
        }
    }

    let answers = [Poll::Ready(Err("closed".to_owned())), Poll::Ready(Ok(())), Poll::Pending];
    let mut service = RequestLayer::new().layer(Ready(answers.to_vec()));
    let mut cx = Context::from_waker(Waker::noop());
    for expected in answers.into_iter().rev() {
        assert_eq!(service.poll_ready(&mut cx), expected);
    }
}

#[test]
fn a_layer_prints_its_header() {
    let layer = RequestLayer::new().header(HeaderName::from_static("x-trace"));
    assert_eq!(format!("{layer:?}"), r#"RequestLayer { header: "x-trace", .. }"#);
}
