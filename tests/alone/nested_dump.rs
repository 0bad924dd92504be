//! A renderer that dumps. Where that does not end the stack does, and the process with it: so it runs in a child.

use std::{env, fmt, process::Command, thread};

use serde::{Serialize, Serializer};
use threadctx::{dump, get_thread_ctx};

const CHILD: &str = "THREADCTX_TEST_NESTED_DUMP";

/// Dumps everything, itself included, whenever it is rendered.
struct Dumps;

impl fmt::Debug for Dumps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of dump", dump().to_string().len())
    }
}

impl Serialize for Dumps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(dump().to_json().len() as u64)
    }
}

/// Runs the test of this name again, in a process of its own, where `body` runs; fails if that does not end well.
fn in_a_child(test: &str, body: fn()) {
    if env::var_os(CHILD).is_some() {
        return body();
    }
    let mut child = Command::new(env::current_exe().unwrap());
    let child = child.args(["--exact", test, "--nocapture"]).env(CHILD, "1").env("RUST_BACKTRACE", "0");
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        said.lines().take(20).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn a_debug_that_dumps_again_ends() {
    in_a_child("nested_dump::a_debug_that_dumps_again_ends", || {
        thread::spawn(|| {
            get_thread_ctx().namespace("nested").insert("debug", Dumps).unwrap();
            assert!(dump().to_string().contains("nested.debug"));
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_serialize_that_dumps_again_ends() {
    in_a_child("nested_dump::a_serialize_that_dumps_again_ends", || {
        thread::spawn(|| {
            get_thread_ctx().namespace("nested").insert_json("json", Dumps).unwrap();
            assert!(dump().to_json().contains("nested"));
        })
        .join()
        .unwrap();
    });
}

#[test]
fn two_values_that_dump_each_other_end() {
    in_a_child("nested_dump::two_values_that_dump_each_other_end", || {
        let threads = [0, 1].map(|_| {
            thread::spawn(|| {
                get_thread_ctx().namespace("nested").insert("debug", Dumps).unwrap();
                drop(dump());
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
