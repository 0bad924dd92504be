//! The server, which starts and ends its threads as it likes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use oxhttp::Server;

use crate::{
    app,
    middleware::{contain_panics, with_current_user},
};

/// How often to look for a port: between the look and its use somebody else may take it.
const TRIES: usize = 10;

/// Serves on the loopback for the rest of the process.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let mut started = try_to_start();
    for _ in 1..TRIES {
        started = started.or_else(|_| try_to_start());
    }
    started
}

fn try_to_start() -> io::Result<SocketAddr> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let server = Server::new(|request| contain_panics(|| with_current_user(app::serve, request)));
    server.bind(free).spawn()?;
    Ok(free)
}
