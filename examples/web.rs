//! A web service whose requests know whom they are for, wherever their work hops to.
//!
//! Each request has a context of its own. The handler goes over three awaits, a task, a blocking job and a rayon job, and at
//! each hop asks a module that was told nothing. `/debug/contexts` shows all that is going on at the moment.
//!
//! ```text
//! cargo run --example web --features rayon,tokio,tower
//! cargo run --example web --features rayon,tokio,tower -- --serve 127.0.0.1:8080
//! curl -i -H 'x-user: alice' http://127.0.0.1:8080/work
//! ```
//!
//! Without `--serve` it asks itself a few questions, shows the answers, and ends.

use std::{net::SocketAddr, time::Duration};

use axum::{Json, Router, routing::get};
use clap::Parser;
use threadctx::{Snapshot, tokio::BuilderExt, tower::RequestLayer};
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot, task::yield_now};

/// Whom the current request is for. The key never leaves this module.
mod identity {
    use http::request::Parts;
    use threadctx::{Key, accessors};

    static CURRENT_USER: Key<String> = Key::new("http", "user").display().inherit();

    accessors! {
        /// The user that the current request is for.
        CURRENT_USER: String {
            get: pub(crate) get_current_user,
            set: set_current_user,
            scope: pub(crate) impersonate,
        }
    }

    /// Stands for whatever a real service believes.
    pub(crate) fn sign_in(request: &Parts) {
        let user = request.headers.get("x-user").and_then(|user| user.to_str().ok());
        if let Some(user) = user.filter(|user| user.len() <= 64) {
            set_current_user(user.to_owned());
        }
    }
}

/// Deep inside, where nobody passes a user or a request down.
mod audit {
    use super::identity::get_current_user;
    use threadctx::tower::get_current_request_id;

    #[derive(serde::Serialize)]
    pub(crate) struct Entry {
        at: &'static str,
        user: Option<String>,
        request: Option<String>,
    }

    pub(crate) fn entry(at: &'static str) -> Entry {
        let user = get_current_user().map(|user| user.to_string());
        Entry { at, user, request: get_current_request_id().map(|id| id.to_string()) }
    }
}

use audit::{Entry, entry};

async fn work() -> Json<Vec<Entry>> {
    let mut seen = vec![entry("handler")];
    yield_now().await;
    seen.push(entry("first await"));
    tokio::time::sleep(Duration::from_micros(50)).await;
    seen.push(entry("second await"));
    seen.extend(threadctx::tokio::spawn(task()).await.expect("it does not panic"));
    seen.push(entry("third await"));
    seen.push(threadctx::tokio::spawn_blocking(|| entry("spawn_blocking")).await.expect("it does not panic"));
    seen.extend(on_rayon().await);
    seen.push(identity::impersonate("auditor".to_owned(), || entry("as auditor")));
    seen.push(entry("after it"));
    Json(seen)
}

/// A task of its own, with a context of its own.
async fn task() -> Vec<Entry> {
    let before = entry("task");
    yield_now().await;
    vec![before, entry("task, later")]
}

/// A job for the pool of processors, which splits in two.
async fn on_rayon() -> [Entry; 2] {
    let (send, seen) = oneshot::channel();
    threadctx::rayon::spawn(move || {
        let (one, other) = threadctx::rayon::join(|| entry("rayon"), || entry("rayon, other half"));
        _ = send.send([one, other]);
    });
    seen.await.expect("the job does not panic")
}

/// Not for the public: behind whatever guards a service's other inner pages.
async fn contexts() -> String {
    threadctx::dump().to_string()
}

/// The service, for whoever serves it.
pub(crate) fn app() -> Router {
    Router::new().route("/work", get(work)).route("/debug/contexts", get(contexts)).layer(layer())
}

/// Our paths hold no secrets, so a dump may name requests by them.
fn layer() -> RequestLayer {
    let layer = RequestLayer::new().on_request(identity::sign_in);
    layer.named_by(|request| format!("{} {}", request.method, request.uri.path()))
}

/// Serves whom a request is for, at each hop.
#[derive(Parser)]
struct Options {
    /// Serve on this address until the process is stopped, instead of a few requests of its own
    #[arg(long, value_name = "ADDR")]
    serve: Option<SocketAddr>,
}

#[allow(dead_code, reason = "the test of this example has a main of its own")]
fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let runtime = Builder::new_multi_thread().enable_all().thread_name("web").register_workers().build()?;
    runtime.block_on(async {
        let address = options.serve.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        println!("serving on http://{address}");
        let server = axum::serve(listener, app());
        match options.serve {
            Some(_) => server.await,
            None => {
                tokio::spawn(async { server.await });
                // A client of the plainest kind, on a thread that is not the runtime's.
                let questions = Snapshot::default().wrap(move || ask_a_few(address));
                tokio::task::spawn_blocking(questions).await.expect("it does not panic")
            }
        }
    })
}

fn ask_a_few(address: SocketAddr) -> std::io::Result<()> {
    for (user, path) in [("alice", "/work"), ("bob", "/work"), ("carol", "/debug/contexts")] {
        println!("\n{user} asks for {path}\n\n{}", ask(address, user, path)?);
    }
    Ok(())
}

fn ask(address: SocketAddr, user: &str, path: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: here\r\nx-user: {user}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
