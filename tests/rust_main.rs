//! `process::exit` in an exit hook of the main thread of a Rust program, which ends in std's `main` and not in one of C's.
//!
//! This program starts itself once for each way to end.

#![cfg(not(loom))]

use std::{
    env,
    process::{Command, ExitStatus, exit},
};

use threadctx::{exit_thread_ctx, get_thread_ctx};

const WAY: &str = "THREADCTX_WAY_TO_END";
const STATUS: i32 = 3;

fn main() {
    match env::var(WAY).as_deref() {
        Ok(way) => end(way),
        Err(_) => judge(),
    }
}

fn end(way: &str) {
    get_thread_ctx().on_exit(|_| exit(STATUS));
    if way == "exit_thread_ctx" {
        exit_thread_ctx();
    }
}

fn judge() {
    // The hook runs inside `main`: an exit like any other.
    let (status, text) = ended("exit_thread_ctx");
    assert_eq!(status.code(), Some(STATUS), "{text}");
    // The hook runs when std is inside `exit` already, and does not let another one in.
    let (status, text) = ended("return");
    if cfg!(target_env = "musl") {
        assert_eq!(status.code(), Some(0), "no destructor runs: {text}");
    } else if cfg!(unix) {
        assert!(status.code().is_none() && text.contains("re-entrantly"), "{status}: {text}");
    }
    println!("both ways to end are as documented");
}

fn ended(way: &str) -> (ExitStatus, String) {
    let program = env::current_exe().expect("a program has a file");
    let output = Command::new(program).env(WAY, way).output().expect("it can be run");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}
