//! What must not compile, each beside a twin that must: so that it is refused for the reason meant and no other.

#![cfg(not(loom))]

use std::{env, process::Command};

/// The compiler whose messages stand beside the cases; `TRYBUILD=overwrite` writes them anew. Others word them otherwise,
/// so with those only the twins are tried.
const MESSAGES_OF: &str = "rustc 1.95.";

fn compiler() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

#[test]
fn what_must_not_compile_does_not_and_its_twin_does() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_fail/*_ok.rs");
    if compiler().starts_with(MESSAGES_OF) {
        cases.compile_fail("tests/compile_fail/*_not.rs");
    } else {
        println!("skipped: the messages to compare with are those of {MESSAGES_OF}x");
    }
}
