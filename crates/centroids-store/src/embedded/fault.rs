//! What went wrong in the database, before its file is put to it.

use std::path::Path;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::error::Error;

/// Why a transaction was given up.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Damaged(String),
    /// Says all about itself.
    Named(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Named(error)
    }
}

impl Fault {
    pub(super) fn at(self, path: &Path, waited: Duration) -> Error {
        let path = path.to_owned();
        let error = match self {
            Self::Named(error) => return error,
            Self::Damaged(problem) => return Error::Damaged { path, problem },
            Self::Sql(error) => error,
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::DiskFull { path },
            Some(ErrorCode::ReadOnly) => Error::ReadOnly { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Error::Busy { path, seconds: waited.as_secs() }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Error::Damaged { path, problem: error.to_string() }
            }
            Some(_) => Error::Database { path, message: error.to_string() },
            // Not of the database but of what was read from it: a column of another type.
            None => Error::Damaged { path, problem: error.to_string() },
        }
    }
}
