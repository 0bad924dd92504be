//! Which process a dump is of: the same one as an earlier dump, or another that has its number.

#![cfg(all(unix, not(loom)))]

use std::{env, fs, os::unix::process::CommandExt, process::Command};

use threadctx::{DumpDiff, Key, dump};

#[path = "support/patience.rs"]
mod patience;
#[path = "support/solo.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
#[allow(dead_code, reason = "this file needs a part of it")]
mod solo;

static STEP: Key<u64> = Key::new("process", "step").json();

/// The system gives it the pid, the start and the boot of the program before, and std gives the same idents.
#[test]
fn a_program_that_another_one_executed_is_another_process() {
    const DUMP: &str = "THREADCTX_EARLIER_DUMP";
    // Each of the two programs says that it has begun.
    solo::saying(&[&["begun"]]).alone(|| {
        STEP.set(7);
        let now = dump().to_json();
        let Some(earlier) = env::var_os(DUMP) else {
            let path = env::temp_dir().join(format!("threadctx-process-{}.json", std::process::id()));
            fs::write(&path, &now).expect("there is room");
            let program = env::current_exe().expect("it has a file");
            let error = Command::new(program).args(env::args_os().skip(1)).env(DUMP, path).exec();
            panic!("it cannot be executed: {error}");
        };
        let before = fs::read_to_string(&earlier).expect("it was written");
        fs::remove_file(earlier).expect("it is ours");
        let pid = |dump: &str| {
            serde_json::from_str::<serde_json::Value>(dump).expect("JSON")["process"]["pid"].clone()
        };
        assert_eq!(pid(&before), pid(&now));
        let diff = DumpDiff::from_json(&before, &now).expect("two dumps");
        assert!(diff.to_string().contains("different processes"), "{diff}");
        assert_eq!((diff.added().count(), diff.gone().count(), diff.stuck().count()), (1, 1, 0));
    });
}
