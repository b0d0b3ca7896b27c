//! The secrets that open the TCP port: made at the first start, readable by their owner alone.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::fs::OFlags;
use rustix::process::geteuid;

const ROOT: u32 = 0;
const OWNER_ONLY: u32 = 0o600;
const OTHERS: u32 = 0o077;
/// 256 bits cannot be guessed.
const SECRET_BYTES: usize = 32;
/// Shortest secret that is taken from a file that somebody wrote.
const TEXT_BYTES_MIN: usize = 16;
const FILE_BYTES_MAX: u64 = 4096;

/// One of the secrets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token file {} cannot be read or made: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the token file {} holds no token of at least {TEXT_BYTES_MIN} characters; remove it to have one made", path.display())]
    Unusable { path: PathBuf },
    #[error("others can read the token file {}; remove it to have a new one made", path.display())]
    Exposed { path: PathBuf },
    #[error("the token file {} was made by user {owner}, who knows what is in it; remove it to have a new one made", path.display())]
    Foreign { path: PathBuf, owner: u32 },
}

/// The secret in that file, which is made when it is not there.
///
/// # Errors
/// The file cannot be read or made, holds nothing useful, or was open to others.
pub fn token(path: &Path) -> Result<String, TokenError> {
    let failed = |source| TokenError::Io { path: path.to_owned(), source };
    if let Some(text) = existing_token(path)? {
        return Ok(text);
    }
    let mut secret = [0; SECRET_BYTES];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut secret)).map_err(failed)?;
    let text = URL_SAFE_NO_PAD.encode(secret);
    // Under another name first: whoever finds the file finds all of it.
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&new).map_err(failed)?;
    file.set_permissions(Permissions::from_mode(OWNER_ONLY)).map_err(failed)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    Ok(text)
}

/// The secret in that file; `None` when there is no file.
///
/// # Errors
/// The file cannot be read, holds nothing useful, or is open to others.
pub fn existing_token(path: &Path) -> Result<Option<String>, TokenError> {
    match read(path) {
        Err(TokenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn read(path: &Path) -> Result<String, TokenError> {
    let failed = |source| TokenError::Io { path: path.to_owned(), source };
    // Whatever is there is not waited for, should it be a FIFO.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    if found.mode() & OTHERS != 0 {
        return Err(TokenError::Exposed { path: path.to_owned() });
    }
    if !is_known(found.uid(), path) {
        return Err(TokenError::Foreign { path: path.to_owned(), owner: found.uid() });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let text = text.trim();
    if text.len() < TEXT_BYTES_MIN || text.contains(|letter: char| !letter.is_ascii_graphic()) {
        return Err(TokenError::Unusable { path: path.to_owned() });
    }
    Ok(text.to_owned())
}

/// Whether a file of that owner can be one of ours: root also looks at the tokens of daemons of others.
fn is_known(owner: u32, path: &Path) -> bool {
    let is_of_directory =
        || path.parent().and_then(|parent| fs::metadata(parent).ok()).is_some_and(|found| found.uid() == owner);
    owner == geteuid().as_raw() || owner == ROOT || is_of_directory()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let made = token(&path).unwrap();
        assert_eq!((made.len(), token(&path).unwrap()), (43, made.clone()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, OWNER_ONLY);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_ne!(token(&directory.path().join("other")).unwrap(), made);
    }

    #[test]
    fn what_is_no_secret_is_not_taken_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        for text in ["", "short", "with a space in the middle of it"] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(OWNER_ONLY)).unwrap();
            assert!(matches!(token(&path), Err(TokenError::Unusable { .. })), "{text:?}");
        }
        fs::write(&path, "x".repeat(43)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(token(&path), Err(TokenError::Exposed { .. })));
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(token(&path).unwrap().len(), 43);
    }

    #[test]
    fn a_token_that_somebody_else_put_there_is_not_taken() {
        use std::os::unix::fs::chown;

        if !geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "x".repeat(43)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(OWNER_ONLY)).unwrap();
        chown(&path, Some(12_345), None).unwrap();
        assert!(matches!(token(&path), Err(TokenError::Foreign { owner: 12_345, .. })));
        // Root asks for the token of a daemon of that user.
        chown(directory.path(), Some(12_345), None).unwrap();
        assert_eq!(token(&path).unwrap().len(), 43);
    }
}
