use std::rc::Rc;

fn main() {
    let own = Rc::new(1);
    threadctx::get_thread_ctx().on_exit(move |_| drop(own));
}
