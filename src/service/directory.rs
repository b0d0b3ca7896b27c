//! One directory that others must not get into: made or tightened, or refused.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat};
use rustix::io::Errno;
use rustix::process::geteuid;

const OWNER_ONLY: u32 = 0o700;
const PERMISSIONS: u32 = 0o777;
const WRITABLE_BY_ALL: u32 = 0o002;
/// In a sticky directory nobody can replace what is somebody else's.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;
/// Who owns what belongs to users that a namespace has no number for.
const UNKNOWN: u32 = 65534;

/// Who looks after a directory, and so how strictly it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Custody {
    /// Ours alone: made 0700, and made so again if it was wider.
    Ours,
    /// Made by the supervisor, whose unit decides about the group.
    Supervisor,
    /// Holds a socket whose path somebody chose, and may hold other things: never changed.
    Chosen,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(
        "{} belongs to user {owner}, but this is user {us}; choose another directory, or run as its owner",
        path.display()
    )]
    Foreign { path: PathBuf, owner: u32, us: u32 },
    #[error("everybody may write to {}; make it private (chmod go-w) or choose another directory", path.display())]
    WritableByAll { path: PathBuf },
    #[error("{} is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("could not {doing} {}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
}

/// Makes `path` and every parent that is missing.
pub(super) fn make_with_parents(path: &Path) -> Result<(), DirectoryError> {
    match (make(path), path.parent()) {
        (Err(DirectoryError::Io { source, .. }), Some(parent)) if source.kind() == io::ErrorKind::NotFound => {
            make_with_parents(parent)?;
            make(path)
        }
        (made, _) => made,
    }
}

/// Makes `path` if it is missing. The umask can only narrow 0700, which [`secure`] undoes.
pub(super) fn make(path: &Path) -> Result<(), DirectoryError> {
    match DirBuilder::new().mode(OWNER_ONLY).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(path, "make", error)),
        _ => Ok(()),
    }
}

/// Refuses a directory that others could have put something into; makes one of ours 0700.
pub(super) fn secure(path: &Path, custody: Custody) -> Result<(), DirectoryError> {
    let (directory, found) = inspect(path, custody)?;
    if custody == Custody::Ours && found.mode() & PERMISSIONS != OWNER_ONLY {
        // Through the open directory, so that it is the one that was looked at.
        let narrowed = directory.set_permissions(Permissions::from_mode(OWNER_ONLY));
        narrowed.map_err(|error| failed(path, "make private", error))?;
    }
    Ok(())
}

/// Refuses what making and then securing `path` would refuse, and a directory in which no file can be made, as far as
/// that can be told without making or changing anything. `with_parents`: missing parents would be made too.
pub(super) fn foresee(path: &Path, custody: Custody, with_parents: bool) -> Result<(), DirectoryError> {
    let existing = path.ancestors().find(|ancestor| fs::symlink_metadata(ancestor).is_ok()).unwrap_or(path);
    if existing == path {
        inspect(path, custody)?;
        return match may_be_filled(path) {
            // A mode of ours is mended.
            Err(error) if custody == Custody::Ours && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            found => found.map_err(|error| failed(path, "write into", error)),
        };
    }
    if !with_parents && path.parent() != Some(existing) {
        return Err(failed(path, "make", io::Error::from(Errno::NOENT)));
    }
    let found = fs::metadata(existing).map_err(|error| failed(existing, "look at", error))?;
    if !found.is_dir() {
        return Err(DirectoryError::NotADirectory { path: existing.to_owned() });
    }
    may_be_filled(existing).map_err(|error| failed(path, "make", error))?;
    check_way(existing, geteuid().as_raw())
}

/// Whether a file can be made in that directory, as far as the system says so beforehand.
fn may_be_filled(path: &Path) -> io::Result<()> {
    accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?;
    // Whatever the modes of what the kernel shows there say.
    if ["/proc", "/sys"].iter().any(|shown| path.starts_with(shown)) && cfg!(target_os = "linux") {
        return Err(io::Error::from(Errno::ACCESS));
    }
    Ok(())
}

/// Opens and looks at a directory, which nobody else may have put something into.
fn inspect(path: &Path, custody: Custody) -> Result<(File, Metadata), DirectoryError> {
    let us = geteuid().as_raw();
    let directory = open(path, us)?;
    let found = directory.metadata().map_err(|error| failed(path, "look at", error))?;
    if found.uid() != us && !(custody == Custody::Chosen && found.uid() == 0) {
        return Err(DirectoryError::Foreign { path: path.to_owned(), owner: found.uid(), us });
    }
    let shared_safely = custody == Custody::Chosen && found.mode() & STICKY != 0;
    if found.mode() & WRITABLE_BY_ALL != 0 && !shared_safely {
        return Err(DirectoryError::WritableByAll { path: path.to_owned() });
    }
    Ok((directory, found))
}

/// Opens the directory itself. A symbolic link is followed only when we or root made it, and where nobody else can
/// swap it between our looking and our opening.
fn open(path: &Path, us: u32) -> Result<File, DirectoryError> {
    if let Some(parent) = path.parent() {
        check_way(parent, us)?;
    }
    let found = fs::symlink_metadata(path).map_err(|error| failed(path, "look at", error))?;
    let mut flags = OFlags::DIRECTORY;
    if !found.is_symlink() {
        flags |= OFlags::NOFOLLOW;
    } else if found.uid() != us && found.uid() != 0 {
        return Err(DirectoryError::Foreign { path: path.to_owned(), owner: found.uid(), us });
    }
    // The bits of the flags are C's own numbers; none of them is near the sign.
    match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(DirectoryError::NotADirectory { path: path.to_owned() })
        }
        opened => opened.map_err(|error| failed(path, "open", error)),
    }
}

/// Refuses a way to `parent` on which somebody else could later put another directory, or a link, in place of what we
/// looked at: as it is written, and as it is without links.
fn check_way(parent: &Path, us: u32) -> Result<(), DirectoryError> {
    let real = fs::canonicalize(parent).map_err(|error| failed(parent, "look at", error))?;
    let unlinked = real.ancestors().filter(|_| real != parent);
    parent.ancestors().chain(unlinked).try_for_each(|path| check_step(path, us))
}

fn check_step(path: &Path, us: u32) -> Result<(), DirectoryError> {
    let around = fs::metadata(path).map_err(|error| failed(path, "look at", error))?;
    let itself = fs::symlink_metadata(path).map_err(|error| failed(path, "look at", error))?;
    let is_shared = around.mode() & WRITABLE_BY_ALL != 0;
    if is_shared && around.mode() & STICKY == 0 {
        return Err(DirectoryError::WritableByAll { path: path.to_owned() });
    }
    // Being sticky keeps out everybody but the directory's own owner. Root may have been given somebody's directory to
    // work in, as in containers; but not one that its owner has opened to all.
    let root_may = us == ROOT && !is_shared && !itself.is_symlink();
    match [around.uid(), itself.uid()].into_iter().find(|&owner| !is_trusted(owner, us)) {
        Some(owner) if !root_may => Err(DirectoryError::Foreign { path: path.to_owned(), owner, us }),
        _ => Ok(()),
    }
}

/// Whether whoever owns a directory above ours could harm us anyway. In a user namespace root itself may be nobody.
fn is_trusted(owner: u32, us: u32) -> bool {
    owner == us || owner == ROOT || (owner == UNKNOWN && !knows_all_users())
}

/// Whether every user of the machine has a number here.
fn knows_all_users() -> bool {
    let Ok(map) = fs::read_to_string("/proc/self/uid_map") else { return true };
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> DirectoryError {
    DirectoryError::Io { path: path.to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, lchown, symlink};

    const NOBODY: u32 = 65534;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Only root can give files away; elsewhere the tests that need it have nothing to look at.
    fn can_give_away() -> bool {
        geteuid().is_root()
    }

    #[test]
    fn missing_parents_are_made_private_too() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        make_with_parents(&deep).unwrap();
        make_with_parents(&deep).unwrap();
        for path in [deep.as_path(), deep.parent().unwrap()] {
            assert_eq!(mode(path), 0o700);
        }
    }

    #[test]
    fn a_directory_of_ours_is_narrowed_and_a_chosen_one_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for (custody, before, after) in [
            (Custody::Ours, 0o775, 0o700),
            (Custody::Ours, 0o700, 0o700),
            (Custody::Supervisor, 0o750, 0o750),
            (Custody::Chosen, 0o755, 0o755),
            (Custody::Chosen, 0o1777, 0o1777),
        ] {
            set_mode(dir.path(), before);
            secure(dir.path(), custody).unwrap();
            assert_eq!(mode(dir.path()), after, "{custody:?} {before:o}");
        }
    }

    #[test]
    fn a_directory_that_everybody_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (custody, mode) in
            [(Custody::Ours, 0o777), (Custody::Ours, 0o1777), (Custody::Supervisor, 0o777), (Custody::Chosen, 0o777)]
        {
            set_mode(dir.path(), mode);
            let error = secure(dir.path(), custody).unwrap_err();
            assert!(matches!(error, DirectoryError::WritableByAll { .. }), "{custody:?} {mode:o}: {error}");
        }
    }

    #[test]
    fn a_directory_in_which_everybody_could_swap_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("ours");
        make(&ours).unwrap();
        set_mode(dir.path(), 0o777);
        assert!(
            matches!(secure(&ours, Custody::Ours), Err(DirectoryError::WritableByAll { path }) if path == dir.path())
        );
        set_mode(dir.path(), 0o1777);
        secure(&ours, Custody::Ours).unwrap();
    }

    #[test]
    fn a_way_that_somebody_else_could_change_is_refused() {
        if !can_give_away() {
            return;
        }
        const US: u32 = 12_345;
        const THEM: u32 = 12_346;
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        let below = theirs.join("below");
        fs::create_dir_all(&below).unwrap();
        let is_foreign = |path: &Path, us| matches!(check_way(path, us), Err(DirectoryError::Foreign { owner: THEM, path, .. }) if path == theirs);
        assert!(check_way(&below, US).is_ok());
        chown(&theirs, Some(THEM), None).unwrap();
        assert!(is_foreign(&below, US));
        // Root works where it was told to, unless the owner has opened the place to all.
        assert!(check_way(&below, ROOT).is_ok());
        set_mode(&theirs, 0o1777);
        assert!(is_foreign(&below, US) && is_foreign(&below, ROOT));

        // The same by a detour over a link of ours; and over a link of theirs to a place that is good.
        let (ours, home) = (dir.path().join("ours"), dir.path().join("home"));
        symlink(&below, &ours).unwrap();
        assert!(is_foreign(&ours, ROOT));
        fs::create_dir(&home).unwrap();
        fs::remove_dir_all(&theirs).unwrap();
        symlink(&home, &theirs).unwrap();
        assert!(check_way(&theirs, US).is_ok());
        lchown(&theirs, Some(THEM), None).unwrap();
        assert!(is_foreign(&theirs, US) && is_foreign(&theirs, ROOT));
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused() {
        if !can_give_away() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        make(&theirs).unwrap();
        chown(&theirs, Some(NOBODY), None).unwrap();
        for custody in [Custody::Ours, Custody::Supervisor, Custody::Chosen] {
            let error = secure(&theirs, custody).unwrap_err();
            assert!(matches!(error, DirectoryError::Foreign { owner: NOBODY, .. }), "{custody:?}: {error}");
        }
        assert_eq!(mode(&theirs), 0o700);
    }

    #[test]
    fn a_link_is_followed_only_when_we_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        make(&target).unwrap();
        set_mode(&target, 0o755);
        symlink(&target, &link).unwrap();
        secure(&link, Custody::Ours).unwrap();
        assert_eq!(mode(&target), 0o700);
        if can_give_away() {
            set_mode(&target, 0o755);
            lchown(&link, Some(NOBODY), None).unwrap();
            assert!(matches!(secure(&link, Custody::Ours), Err(DirectoryError::Foreign { .. })));
            assert_eq!(mode(&target), 0o755);
        }
    }

    #[test]
    fn a_file_in_its_place_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        make(&file).unwrap();
        assert!(matches!(secure(&file, Custody::Ours), Err(DirectoryError::NotADirectory { .. })));
    }

    #[test]
    fn what_a_start_would_refuse_is_foreseen_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let (deep, file, open) = (dir.path().join("a/b"), dir.path().join("file"), dir.path().join("open"));
        fs::write(&file, "").unwrap();
        make(&open).unwrap();
        set_mode(&open, 0o777);
        let foresee = |path: &Path, with_parents| foresee(path, Custody::Ours, with_parents);
        foresee(&deep, true).unwrap();
        assert!(matches!(foresee(&deep, false), Err(DirectoryError::Io { doing: "make", .. })));
        for path in [file.clone(), file.join("below")] {
            let error = foresee(&path, true).unwrap_err();
            assert!(matches!(&error, DirectoryError::NotADirectory { path } if *path == file), "{error}");
        }
        for path in [open.clone(), open.join("s"), open.join("s/t")] {
            let error = foresee(&path, true).unwrap_err();
            assert!(matches!(&error, DirectoryError::WritableByAll { path } if *path == open), "{error}");
        }
        if cfg!(target_os = "linux") {
            assert!(foresee(Path::new("/proc/nope"), true).is_err());
        }
        assert_eq!((fs::read_dir(dir.path()).unwrap().count(), mode(&open)), (2, 0o777));
    }
}
