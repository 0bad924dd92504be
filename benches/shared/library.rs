//! The hot operations in a shared library, where a thread-local is not at a fixed distance from the thread's pointer.

#![expect(unsafe_code, reason = "functions that are found by name")]

#[path = "../support/operations.rs"]
mod operations;

/// To be called once on the thread that measures.
// SAFETY: nobody else exports this name.
#[unsafe(no_mangle)]
pub extern "C" fn threadctx_operations_prepare() {
    operations::prepare();
}

/// Does the operation of this number so many times.
// SAFETY: nobody else exports this name.
#[unsafe(no_mangle)]
pub extern "C" fn threadctx_operations_run(number: usize, times: u32) {
    (operations::ALL[number].run)(times);
}
