//! Each worker of a pool has a database connection of its own: opened at first use, with an error for whoever asked if that
//! fails, used for every job after that, and closed in an exit hook. Nobody hands a connection to anybody.
//!
//! ```text
//! cargo run --example worker_resource
//! ```

use std::{error::Error, path::Path};

mod connection;
mod pool;

use pool::Pool;

const WORKERS: usize = 4;
const JOBS: usize = 200;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("orders.db");
    let orders = make_database(&file)?;
    work(&file)?;
    connection::check_counts(WORKERS)?;
    println!("{WORKERS} threads, {WORKERS} connections opened, {WORKERS} closed");

    let written: i64 = orders.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))?;
    assert_eq!(usize::try_from(written)?, JOBS);
    println!("{written} orders are in the file");
    Ok(())
}

/// One table in a file with a write-ahead log. It keeps that mode, which only somebody who is alone with it can change.
fn make_database(file: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let orders = rusqlite::Connection::open(file)?;
    let mode: String = orders.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    assert_eq!(mode, "wal");
    orders.execute_batch("CREATE TABLE orders (number INTEGER PRIMARY KEY)")?;
    Ok(orders)
}

/// Starts the pool, gives it everything to do, and ends it.
fn work(file: &Path) -> Result<(), Box<dyn Error>> {
    let pool = Pool::start(WORKERS);
    fail_on_every_worker(&pool, &file.join("no such folder").join("orders.db"));
    // The first orders go one to each worker, the others to whoever is free.
    let first = pool.run_on_each(|worker| write_order(file, worker));
    let others = (WORKERS..JOBS).map(|order| pool.run(write_order(file, order)));
    for job in first.into_iter().chain(others.collect::<Vec<_>>()) {
        pool::result_of(&job).map_err(|error| error.to_string())?;
    }
    show_connections();
    pool.join();
    Ok(())
}

/// On each worker a job finds that its database cannot be opened. The job has the error, and the worker goes on.
fn fail_on_every_worker(pool: &Pool, nowhere: &Path) {
    for job in pool.run_on_each(|_| {
        let nowhere = nowhere.to_owned();
        move || connection::with(&nowhere, |_| Ok(()))
    }) {
        let error = pool::result_of(&job).expect_err("there is no such folder");
        assert!(error.to_string().contains("unable to open database file"), "{error}");
        println!("a job is told: {}", error.to_string().replace(&*nowhere.to_string_lossy(), "(nowhere)"));
    }
    assert!(!threadctx::dump().to_string().contains("db.connection"), "what could not be opened is not kept");
}

fn write_order(file: &Path, order: usize) -> impl FnOnce() -> Outcome<()> + Send + use<> {
    let file = file.to_owned();
    move || {
        connection::with(&file, |connection| {
            connection.execute("INSERT INTO orders (number) VALUES (?1)", [order as i64])?;
            Ok(())
        })
    }
}

/// What everybody can see while the pool is there: each worker's connection, and how much went through it.
fn show_connections() {
    // Two that did as much would share their lines.
    let dump = threadctx::DumpOptions::new().group(false).take().to_string();
    println!("\n{dump}");
    assert_eq!(dump.matches("db.connection = \"orders.db, ").count(), WORKERS);
}
