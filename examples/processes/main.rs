//! Python's `multiprocessing`, where each process has globals of its own: a pool of child processes to which the context goes
//! as JSON, and whose dumps come back, so that one table shows all processes. And a plain `fork`, after which the child has
//! its own context and no other.
//!
//! ```text
//! cargo run --example processes
//! ```

use std::{env, error::Error};

mod carried;
mod child;
#[cfg(unix)]
#[expect(unsafe_code, reason = "fork has no safe form")]
mod forked;
mod parent;
mod table;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Set for those that are to be children.
const CHILD: &str = "THREADCTX_EXAMPLE_CHILD";

fn main() -> Outcome<()> {
    if env::var_os(CHILD).is_some() {
        return child::work();
    }
    parent::work()?;
    #[cfg(unix)]
    forked::check()?;
    Ok(())
}
