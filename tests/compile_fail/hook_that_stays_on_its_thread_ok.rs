use std::sync::Arc;

fn main() {
    let shared = Arc::new(1);
    threadctx::get_thread_ctx().on_exit(move |_| drop(shared));
}
