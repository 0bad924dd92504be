//! A plain `fork`: the child is one thread with one context, whatever the parent has.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::mpsc::channel,
    thread,
};

use threadctx::{context, contexts, get_thread_ctx};

use crate::{
    Outcome,
    carried::{CACHE, TENANT},
};

/// Forks while another thread has a context, and compares what the two processes see.
pub(crate) fn check() -> Outcome<()> {
    TENANT.set("acme".to_owned());
    let (ready, wait) = channel();
    let (go, end) = channel::<()>();
    let other = thread::spawn(move || {
        TENANT.set("globex".to_owned());
        ready.send(thread::current().id()).expect("the parent waits for this");
        // Ends when the parent lets go.
        let _ = end.recv();
    });
    let id = wait.recv()?;
    assert_eq!(contexts().len(), 2);
    println!("before the fork: 2 contexts, of tenants {}", tenants());

    in_child(|| {
        assert!(context(id).is_none(), "the other thread does not exist here");
        assert_eq!(contexts().len(), 1);
        assert_eq!(TENANT.cloned().as_deref(), Some("acme"));
        println!("in the child: 1 context, of tenant {}", tenants());
        assert!(CACHE.take().is_some_and(|cache| cache.len() == 64), "everything works in it");
        TENANT.set("initech".to_owned());
        thread::spawn(|| assert_eq!(get_thread_ctx().namespaces().len(), 0))
            .join()
            .expect("it finds nothing");
    })?;

    assert_eq!(TENANT.cloned().as_deref(), Some("acme"), "what the child does stays there");
    println!("after it, in the parent: 2 contexts, of tenants {}", tenants());
    drop(go);
    other.join().map_err(|_| "the other thread panicked")?;
    Ok(())
}

fn tenants() -> String {
    let all: Vec<_> = TENANT.iter().map(|(_, tenant)| tenant.to_string()).collect();
    all.join(" and ")
}

/// Runs `checks` in a forked child, and fails if they do.
fn in_child(checks: impl FnOnce()) -> Outcome<()> {
    // SAFETY: the only lock that the checks need and another thread might hold is the allocator's, which the system's libraries
    // free in the child. What this crate needs it frees itself.
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let held = panic::catch_unwind(AssertUnwindSafe(checks)).is_ok();
            // SAFETY: it takes a number, and runs nothing that belongs to the parent.
            unsafe { libc::_exit(i32::from(!held)) }
        }
        child => wait_for(child),
    }
}

fn wait_for(child: libc::pid_t) -> Outcome<()> {
    let mut status = 0;
    // SAFETY: the pointer is to a number of ours, and nobody else waits for this child.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return Err(io::Error::last_os_error().into());
    }
    if status == 0 { Ok(()) } else { Err(format!("the forked child ended with status {status}").into()) }
}
