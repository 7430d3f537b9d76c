//! sqlite3(1): shared memory, record locks and fsync.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use serde_json::json;

use super::{Cx, Seen};
use crate::hash::hash_bytes;

const INSERTS: usize = 2_000;
const PER_TRANSACTION: usize = 5;

/// How long a process waits for another's lock, milliseconds, times the patience of the place.
const BUSY: u32 = 60_000;

/// Write-ahead log, one process.
pub(super) fn wal(cx: &Cx) -> Result<Seen> {
    cx.fresh()?;
    create(cx, "wal.db", "wal")?;
    insert(cx, "wal.db", "one", 0..INSERTS)?;
    check(cx, "wal.db", "wal")
}

/// Write-ahead log, two processes at the same time: they share memory by mmap(2).
pub(super) fn wal_two_processes(cx: &Cx) -> Result<Seen> {
    create(cx, "two.db", "wal")?;
    two_at_once(cx, "two.db")?;
    check(cx, "two.db", "wal")
}

/// Rollback journal, two processes: a file made and deleted for each transaction.
pub(super) fn rollback_journal(cx: &Cx) -> Result<Seen> {
    create(cx, "rollback.db", "delete")?;
    two_at_once(cx, "rollback.db")?;
    check(cx, "rollback.db", "delete")
}

fn two_at_once(cx: &Cx, database: &str) -> Result<()> {
    let half = INSERTS / 2;
    thread::scope(|scope| {
        let other = scope.spawn(|| insert(cx, database, "two", half..INSERTS));
        let one = insert(cx, database, "one", 0..half);
        one.and(
            other
                .join()
                .map_err(|_| anyhow!("the thread of the second process panicked"))?,
        )
    })
}

fn create(cx: &Cx, database: &str, mode: &str) -> Result<()> {
    let sql = format!(
        "PRAGMA journal_mode={mode}; CREATE TABLE t(id INTEGER PRIMARY KEY, writer TEXT, value TEXT);"
    );
    let printed = sqlite(cx, database, &sql)?;
    ensure!(
        printed.trim() == mode,
        "journal_mode is {printed:?} instead of {mode}"
    );
    Ok(())
}

fn insert(cx: &Cx, database: &str, writer: &str, ids: std::ops::Range<usize>) -> Result<()> {
    let mut sql = String::from("PRAGMA synchronous=FULL;\n");
    let ids: Vec<usize> = ids.collect();
    for transaction in ids.chunks(PER_TRANSACTION) {
        sql.push_str("BEGIN IMMEDIATE;\n");
        for id in transaction {
            let _ = writeln!(
                sql,
                "INSERT INTO t VALUES({id}, '{writer}', 'value {}');",
                id * id
            );
        }
        sql.push_str("COMMIT;\n");
    }
    let printed = sqlite(cx, database, &sql)?;
    ensure!(printed.is_empty(), "sqlite3 printed {printed:?}");
    Ok(())
}

/// The database is whole and has each row.
fn check(cx: &Cx, database: &str, mode: &str) -> Result<Seen> {
    let whole = sqlite(cx, database, "PRAGMA integrity_check; PRAGMA journal_mode;")?;
    ensure!(
        whole == format!("ok\n{mode}\n"),
        "integrity_check and journal_mode: {whole:?}"
    );
    let rows = sqlite(cx, database, "SELECT id, value FROM t ORDER BY id;")?;
    ensure!(
        rows.lines().count() == INSERTS,
        "{} rows instead of {INSERTS}",
        rows.lines().count()
    );
    Ok(Seen::from([(
        "rows".to_owned(),
        json!(hash_bytes(rows.as_bytes())),
    )]))
}

/// Hands the statements over in a file off the mount.
fn sqlite(cx: &Cx, database: &str, sql: &str) -> Result<String> {
    let file: PathBuf = cx.scratch.join(format!("sql-{:?}", thread::current().id()));
    fs::write(&file, sql)?;
    let read = format!(".read '{}'", file.display());
    cx.run(cx.command("sqlite3").args([
        "-batch",
        "-bail",
        "-cmd",
        &format!(".timeout {}", BUSY * cx.patience),
        database,
        &read,
    ]))
}
