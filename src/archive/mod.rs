//! Archives of partitions on the server's file system: written and read back before the rows go,
//! and restored as tables. Format and names are those of `activity_log_core::archive`.

mod actor;
mod api;
mod file;
mod folder;
mod restore;
mod source;
mod write;

pub use folder::check_folder;
pub use source::columns;
pub use write::{Archived, write};

use crate::error::Error;
use activity_log_core::archive::Problem;

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Read(error) => error.into(),
            problem => Self::ArchiveDamaged {
                problem: problem.to_string(),
            },
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::ArchiveFile { kind: error.kind() }
    }
}
