//! A list of images in an object store.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use centroids_core::Pid;

use crate::error::Error;
use crate::layout::named::{NamedImage, number};
use crate::record::ImageRecord;

/// Reads a list of URLs: one a line, as `url`, `url<TAB>pid` or `url<TAB>pid<TAB>camid`. Identities
/// and cameras may be numbers or texts; without identities every image is its own. Blank lines and
/// lines that begin with `#` are passed over. Returns the images in the order of the list, their paths
/// being the URLs, and the names of identities that are not numbers.
///
/// # Errors
/// A list that is missing, empty, or not all of one kind; a line that is no URL.
pub fn read_url_list(list: &Path) -> Result<(Vec<ImageRecord>, BTreeMap<Pid, String>), Error> {
    let text = fs::read_to_string(list).map_err(|source| Error::io(list, source))?;
    let mut images: Vec<NamedImage> = Vec::new();
    let mut with_pids = None;
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let text = text.trim_end();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let refuse = |problem: &str| Error::Manifest {
            path: list.into(),
            line,
            problem: problem.to_owned(),
        };
        let mut columns = text.split('\t').map(str::trim);
        let url = columns.next().unwrap_or_default();
        if scheme(Path::new(url)).is_none() {
            return Err(refuse("no URL such as s3://bucket/key: correct it"));
        }
        let (pid, camera) = (columns.next().filter(|pid| !pid.is_empty()), columns.next());
        if columns.next().is_some() {
            return Err(refuse("more than three columns: want url, pid and camid, tabs between"));
        }
        if *with_pids.get_or_insert(pid.is_some()) != pid.is_some() {
            return Err(refuse("identities must be given for all images or for none"));
        }
        let camera = camera.filter(|camera| !camera.is_empty()).map(str::to_owned);
        images.push(NamedImage { path: url.into(), pid: pid.unwrap_or(url).to_owned(), camera });
    }
    match images.is_empty() {
        true => Err(Error::layout(list, "lists no images: it takes one URL per line")),
        false => Ok(number(images)),
    }
}

/// The scheme of a path that is a URL, e.g. `s3`.
pub fn scheme(path: &Path) -> Option<&str> {
    let (scheme, rest) = path.to_str()?.split_once("://")?;
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (named && !rest.is_empty()).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn read(text: &str) -> Result<Vec<(PathBuf, i64, Option<u32>)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.txt");
        fs::write(&list, text).unwrap();
        let (records, _) = read_url_list(&list).map_err(|error| error.to_string())?;
        let row = |record: ImageRecord| (record.path, record.pid.0, record.camid.map(|c| c.0));
        Ok(records.into_iter().map(row).collect())
    }

    #[test]
    fn a_line_is_a_url_an_identity_and_a_camera() {
        let list = "# shop\ns3://b/a, 1.jpg\t7\t2\r\n\ngs://b/c.jpg\t9\n";
        let (a, c) = ("s3://b/a, 1.jpg".into(), "gs://b/c.jpg".into());
        assert_eq!(read(list).unwrap(), [(a, 7, Some(2)), (c, 9, None)]);
        let alone = read("s3://b/b.jpg\ns3://b/a.jpg\n").unwrap();
        assert_eq!((alone[0].1, alone[1].1), (2, 1), "every image is an identity of its own");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (list, problem) in [
            ("", "lists no images"),
            ("a.jpg", "line 1: no URL"),
            ("s3://", "line 1: no URL"),
            ("s3://b/a\t1\ns3://b/c", "line 2: identities must be given for all"),
            ("s3://b/a\t1\t2\t3", "line 1: more than three columns"),
        ] {
            let message = read(list).unwrap_err();
            assert!(message.contains(problem), "{list:?}: {message}");
        }
    }
}
