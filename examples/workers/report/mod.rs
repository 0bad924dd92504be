//! What the main thread shows: the work from outside, while it goes on and when it is over.

use std::{
    io::{self, BufWriter, Write},
    time::Instant,
};

use crate::{Failure, pool::Pool, work};

mod midwork;
mod number;
mod progress;
mod proof;
mod table;

use midwork::MidWork;

/// Watches the pool until it is through, and says what came out.
///
/// # Errors
///
/// A thread panicked, a context was left behind, or the output could not be written.
pub(crate) fn report(mut pool: Pool, dump_at_once: bool, top: usize) -> Result<(), Failure> {
    let started = Instant::now();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut midwork = midwork::catch(&mut pool);
    if dump_at_once {
        write_midwork(&mut out, midwork.take())?;
        out.flush()?;
    }
    progress::show(&pool);
    pool.join()?;
    let elapsed = started.elapsed();
    let only_main = proof::only_this_context_is_left()?;
    write_midwork(&mut out, midwork)?;
    table::write(&mut out, &work::total(), top)?;
    writeln!(out, "\nCounted in {elapsed:.2?}; {only_main}")?;
    Ok(out.flush()?)
}

fn write_midwork(out: &mut impl Write, midwork: Option<MidWork>) -> io::Result<()> {
    midwork.map_or(Ok(()), |midwork| writeln!(out, "{midwork}"))
}
