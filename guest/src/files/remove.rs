//! `remove`.

use super::absolute;
use crate::failure::{Context, Failure};
use crate::jobs::Worker;
use crate::message::{Nothing, Remove};
use std::fs;

/// `remove`: a file, an empty directory, or (`recursive`) everything beneath one, following no links.
pub fn remove(worker: &mut Worker, request: &Remove) -> Result<(), Failure> {
    let path = absolute(&request.path)?;
    let metadata = fs::symlink_metadata(path).context(&request.path)?;
    let result = match (metadata.is_dir(), request.recursive) {
        (false, _) => fs::remove_file(path),
        (true, false) => fs::remove_dir(path),
        (true, true) => fs::remove_dir_all(path),
    };
    result.context(&request.path)?;
    worker.finish(Nothing {});
    Ok(())
}
