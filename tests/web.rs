//! `examples/web.rs` under a real client: many connections, users at random, and each answer checked hop by hop.
//!
//! `THREADCTX_REQUESTS` says how many requests there are; 50,000 make the test that the crate was built against.

#![cfg(not(loom))]

use std::{
    env,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

#[path = "../examples/web.rs"]
mod example;

const CONNECTIONS: u64 = 64;
const REQUESTS_IN_CI: u64 = 6_400;

/// Where an answer of `/work` says it was, and whether as the user who asked.
const HOPS: &[(&str, bool)] = &[
    ("handler", true),
    ("first await", true),
    ("second await", true),
    ("task", true),
    ("task, later", true),
    ("third await", true),
    ("spawn_blocking", true),
    ("rayon", true),
    ("rayon, other half", true),
    ("as auditor", false),
    ("after it", true),
];

type Sender = SendRequest<Empty<Bytes>>;

fn requests() -> u64 {
    let asked = env::var("THREADCTX_REQUESTS").ok().map(|requests| requests.parse().expect("a number"));
    asked.unwrap_or(REQUESTS_IN_CI)
}

/// A number that looks random.
fn scatter(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, example::app()).await });
    address
}

async fn connect(address: SocketAddr) -> Sender {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut Sender, path: &str, user: Option<&str>, id: Option<&str>) -> Response<Bytes> {
    let mut request = Request::get(path).header("host", "here");
    for (name, value) in [("x-user", user), ("x-request-id", id)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    sender.ready().await.unwrap();
    let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// One request as a random user, or none, with an id of its own, or none; its answer must be about nothing else.
async fn ask_and_check(sender: &mut Sender, number: u64) {
    let user = (scatter(number) % 10 != 0).then(|| format!("user-{}", scatter(number * 7) % 500));
    let id = (scatter(number * 3) % 4 != 0).then(|| format!("request-{number}"));
    let response = ask(sender, "/work", user.as_deref(), id.as_deref()).await;
    let returned = response.headers()["x-request-id"].to_str().unwrap();
    match &id {
        Some(id) => assert_eq!(returned, id),
        None => assert_eq!(returned.len(), 32),
    }
    let hops: Vec<serde_json::Value> = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(hops.len(), HOPS.len());
    for (hop, (at, as_user)) in hops.iter().zip(HOPS) {
        let expected = if *as_user { user.as_deref() } else { Some("auditor") };
        let (expected, seen) = (serde_json::json!(expected), (&hop["at"], &hop["user"], &hop["request"]));
        assert_eq!(seen, (&(*at).into(), &expected, &returned.into()), "request {number}");
    }
}

fn run<F: Future>(test: F) -> F::Output {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap().block_on(test)
}

#[test]
fn no_request_ever_sees_another_ones_user_or_id() {
    let (requests, done) = (requests(), Arc::new(AtomicU64::new(0)));
    run(async {
        let address = serve().await;
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| {
                let done = Arc::clone(&done);
                tokio::spawn(async move {
                    let mut sender = connect(address).await;
                    for number in (client..requests).step_by(CONNECTIONS as usize) {
                        ask_and_check(&mut sender, number).await;
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        let dump = ask(&mut connect(address).await, "/debug/contexts", Some("carol"), Some("the-dump")).await;
        shows_one_request(std::str::from_utf8(dump.body()).unwrap());
    });
    assert_eq!(done.load(Ordering::SeqCst), requests);
}

/// Of all the requests there were, the one that asks is the only one left.
fn shows_one_request(dump: &str) {
    let users: Vec<_> = dump.lines().filter(|line| line.contains("http.user")).collect();
    assert!(users.len() == 1 && users[0].contains("\"carol\""), "{dump}");
    assert!(dump.contains("http.request_id") && dump.contains("\"the-dump\""), "{dump}");
}
