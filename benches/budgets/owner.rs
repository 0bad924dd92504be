//! The owner's read and write, beside what else a thread can keep a number in, and beside the least that a write can be
//! which others may look at.
//!
//! Where the code of an operation of a nanosecond or two lies moves it by an eighth. So there are several copies of all of
//! it in the executable, and the figures are the medians of theirs.

#![allow(clippy::duplicate_mod, reason = "copies are what is wanted")]

use crate::{row::Row, timing::Plan};

#[path = "owner/copy.rs"]
mod first;

#[path = "owner/copy.rs"]
mod second;

#[path = "owner/copy.rs"]
mod third;

#[path = "owner/copy.rs"]
mod fourth;

#[path = "owner/copy.rs"]
mod fifth;

#[path = "owner/copy.rs"]
mod sixth;

#[path = "owner/copy.rs"]
mod seventh;

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let copies =
        [first::rows, second::rows, third::rows, fourth::rows, fifth::rows, sixth::rows, seventh::rows];
    let plan = Plan { rounds: plan.rounds.div_ceil(copies.len()), ..*plan };
    Row::medians(copies.map(|rows| rows(&plan)).into())
}
