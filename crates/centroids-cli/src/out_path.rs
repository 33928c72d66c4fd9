//! What is wrong with an output path is found out before the work, not after it.

use std::path::Path;

use anyhow::ensure;

/// The folder that a path names; `None` for the working folder.
pub(crate) fn folder_of(out: &Path) -> Option<&Path> {
    out.parent().filter(|folder| !folder.as_os_str().is_empty())
}

/// # Errors
/// When the folder does not exist.
pub(crate) fn check_folder(out: &Path) -> anyhow::Result<()> {
    ensure!(
        folder_of(out).is_none_or(Path::is_dir),
        "{}: lies in a folder that does not exist",
        out.display()
    );
    Ok(())
}

/// # Errors
/// When the file would have none of the endings, or its folder does not exist.
pub(crate) fn check_out(out: &Path, endings: &[&str]) -> anyhow::Result<()> {
    let ending = out.extension().and_then(|extension| extension.to_str());
    ensure!(
        ending.is_some_and(|ending| endings.contains(&ending)),
        "{}: the output must end in .{}",
        out.display(),
        endings.join(" or .")
    );
    check_folder(out)
}
