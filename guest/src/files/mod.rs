//! Files and trees.

mod attributes;
mod beneath;
mod bulk;
mod content;
mod entry;
pub mod record;
mod remove;
mod tree_in;
mod tree_out;
mod walk;

pub use content::{read, write};
pub use entry::{list, stat};
pub use remove::remove;
pub use tree_in::tree_in;
pub use tree_out::tree_out;

use crate::exec::users;
use crate::failure::{Context, Failure, Kind};
use crate::message::{MakeDirectory, Nothing};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;

/// The owner a request names: user and group.
fn owner(user: Option<&str>) -> Result<Option<(u32, u32)>, Failure> {
    let Some(user) = user else { return Ok(None) };
    let account = users::resolve(Some(user))?;
    Ok(Some((account.uid, account.gid)))
}

/// A path of a request: absolute, so that nothing depends on where the agent happens to be.
fn absolute(path: &str) -> Result<&Path, Failure> {
    match path.starts_with('/') && !path.contains('\0') {
        true => Ok(Path::new(path)),
        false => Err(Failure::invalid(format!("{path:?} is not an absolute path"))),
    }
}

/// `mkdir`.
pub fn make_directory(request: &MakeDirectory) -> Result<Nothing, Failure> {
    let owner = owner(request.user.as_deref())?;
    make_directories(absolute(&request.path)?, request.mode.unwrap_or(0o755), owner)?;
    Ok(Nothing {})
}

/// Makes a directory and those above it that are missing, all with the same owner.
fn make_directories(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<(), Failure> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(Failure::new(Kind::Exists, format!("{} is not a directory", path.display()))),
        Err(_) => {}
    }
    if let Some(parent) = path.parent() {
        make_directories(parent, 0o755, owner)?;
    }
    let name = path.display().to_string();
    match fs::DirBuilder::new().mode(mode & 0o7777).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Failure::io(&error, &name)),
        Ok(()) => {
            if let Some((uid, gid)) = owner {
                chown(path, Some(uid), Some(gid)).context(&name)?;
            }
            // The mode asked for is meant, whatever the umask.
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode & 0o7777)).context(&name)
        }
    }
}
