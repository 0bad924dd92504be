//! The current user of a web server whose threads belong to the server: set by a middleware, asked for anywhere, changed for
//! a while by `impersonate`, and gone when the request is over, also when its handler panicked. The way of django-crum.
//!
//! The server keeps a thread per connection, so that one thread serves one request after another.
//!
//! ```text
//! cargo run --example current_user
//! ```

use std::error::Error;

mod app;
mod client;
mod middleware;
mod server;
mod user;

use client::{Client, Response};

fn main() -> Result<(), Box<dyn Error>> {
    let server = server::start()?;
    let mut client = Client::connect(server)?;

    check(&client.get("/whoami", Some("alice"))?, 200, "alice");
    let thread = client.get("/thread", Some("alice"))?.body;
    check(&client.get("/thread", Some("bob"))?, 200, &thread);
    println!("alice and bob were served by one thread, {thread}");

    check(&client.get("/whoami", None)?, 401, "nobody is signed in");
    check(&client.get("/delete", Some("alice"))?, 200, "admin deleted it for alice");
    check(&client.get("/whoami", Some("alice"))?, 200, "alice");

    check(&client.get("/panic", Some("mallory"))?, 500, "something went wrong");
    check(&client.get("/panic-as-admin", Some("mallory"))?, 500, "something went wrong");
    check(&client.get("/whoami", None)?, 401, "nobody is signed in");
    check(&client.get("/thread", None)?, 200, &thread);
    println!("and after both panics its thread had nothing left of mallory or admin");

    look_in(&mut client, server)
}

/// While a request is served, everybody can see for whom.
fn look_in(client: &mut Client, server: std::net::SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut other = Client::connect(server)?;
    other.send("/wait", Some("bob"))?;
    app::wait_until_somebody_waits();
    let dump = client.get("/dump", Some("alice"))?.body;
    app::let_go();
    check(&other.receive()?, 200, "bob waited");
    assert!(dump.contains(r#"http.user = User { name: "alice" }"#));
    assert!(dump.contains(r#"http.user = User { name: "bob" }"#));
    println!("\nin the middle of two requests:\n\n{dump}");
    Ok(())
}

fn check(response: &Response, status: u16, body: &str) {
    assert_eq!((response.status, &*response.body), (status, body), "{response:?}");
    println!("{status} {body}");
}
