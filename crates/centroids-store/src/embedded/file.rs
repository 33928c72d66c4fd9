//! Making and opening the file.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::fault::Fault;
use crate::error::Error;
use crate::settings::{FORMAT_VERSION, Settings};

/// What every SQLite file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// `CGAL`: says in the header of the file whose it is.
const APPLICATION_ID: u32 = 0x4347_414c;

/// Bytes of SQLite's header, and where in it are version and application (big-endian).
const HEADER: usize = 100;
const VERSION_AT: usize = 60;
const APPLICATION_AT: usize = 68;

/// Rows of 512 and of 2048 dimensions fill pages of 8 KiB best.
const PAGE_SIZE: u32 = 8192;

/// Makes the file under another name and links it to its own, which fails if that exists.
pub(super) fn create(path: &Path, settings: &Settings) -> Result<(), Error> {
    settings.check()?;
    if path.exists() {
        return Err(Error::Exists { path: path.to_owned() });
    }
    let open = |source| Error::Open { path: path.to_owned(), source };
    let temporary = beside(path, &format!(".{}.tmp", std::process::id()));
    let remove = || {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            // What is not there need not be removed.
            let _ = fs::remove_file(beside(&temporary, suffix));
        }
    };
    File::create(&temporary).map_err(open)?;
    let made = fill(&temporary, settings).map_err(|fault| fault.at(path, Duration::ZERO));
    let made = made.and_then(|()| {
        fs::hard_link(&temporary, path).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
            _ => open(source),
        })
    });
    remove();
    made.and_then(|()| sync_folder(path).map_err(open))
}

/// Makes the file's name itself durable. Only Unix lets a folder be opened for that.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// The path with something appended to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn fill(path: &Path, settings: &Settings) -> Result<(), Fault> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_SIZE}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    ))?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    if settings.sub_centroids > 1 {
        transaction.execute_batch(include_str!("schema_2.sql"))?;
    }
    let value = serde_json::to_string(settings)
        .map_err(|error| Fault::Damaged(format!("settings: {error}")))?;
    transaction.execute("INSERT INTO setting VALUES ('settings', ?1)", [value])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", settings.format_version())?;
    transaction.commit()?;
    // Closing folds the log into the file, which is then complete and on the disk.
    connection.close().map_err(|(_, error)| error.into())
}

/// Opens what is ours, and only after having seen that it is.
pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<(Connection, Settings), Error> {
    check_header(path)?;
    let named = |fault: Fault| fault.at(path, busy_timeout);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let first = connect(path, flags, busy_timeout);
    match first {
        Err(Fault::Sql(error)) if is_read_only(&error) && !has_log(path) => {
            // A log cannot be made there, and none is needed where nobody writes.
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | OpenFlags::SQLITE_OPEN_URI;
            let reader = connect(&immutable(path), flags, busy_timeout);
            reader.map_err(|_| named(error.into()))
        }
        other => other.map_err(named),
    }
}

fn connect(
    path: &Path,
    flags: OpenFlags,
    busy_timeout: Duration,
) -> Result<(Connection, Settings), Fault> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;")?;
    connection.set_prepared_statement_cache_capacity(64);
    let sql = "SELECT value FROM setting WHERE key = 'settings'";
    let text: String = connection.query_row(sql, [], |row| row.get(0))?;
    let settings: Settings = serde_json::from_str(&text)
        .map_err(|error| Fault::Damaged(format!("its settings are unreadable, {error}")))?;
    settings.check().map_err(|error| Fault::Damaged(error.to_string()))?;
    Ok((connection, settings))
}

fn is_read_only(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// The file as one that nobody changes.
fn immutable(path: &Path) -> PathBuf {
    let mut uri = "file:".to_owned();
    for character in path.to_string_lossy().chars() {
        match character {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            other => uri.push(other),
        }
    }
    (uri + "?immutable=1").into()
}

/// Refuses other files by their first bytes, without the database touching them.
fn check_header(path: &Path) -> Result<(), Error> {
    let path = path.to_owned();
    let mut header = Vec::with_capacity(HEADER);
    let read = File::open(&path).and_then(|file| file.take(HEADER as u64).read_to_end(&mut header));
    match read {
        Err(source) if source.kind() == ErrorKind::NotFound => return Err(Error::Missing { path }),
        Err(source) => return Err(Error::Open { path, source }),
        Ok(_) => {}
    }
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Err(Error::NotAGallery { path, what: "no database" });
    }
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        u32::from_be_bytes(bytes)
    };
    if number(APPLICATION_AT) != APPLICATION_ID {
        return Err(Error::NotAGallery { path, what: "another program's SQLite database" });
    }
    match number(VERSION_AT) {
        1..=FORMAT_VERSION => Ok(()),
        found if found > FORMAT_VERSION => Err(Error::Newer { path, found }),
        found => Err(Error::Damaged { path, problem: format!("format {found} never existed") }),
    }
}
