use threadctx::Snapshot;

fn send<T: Send>(_: T) {}

fn main() {
    let snapshot = Snapshot::capture();
    let _scope = snapshot.enter();
    send(snapshot);
}
