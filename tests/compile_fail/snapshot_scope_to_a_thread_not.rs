use threadctx::Snapshot;

fn send<T: Send>(_: T) {}

fn main() {
    let snapshot = Snapshot::capture();
    let scope = snapshot.enter();
    send(scope);
}
