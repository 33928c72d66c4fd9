use centroids_store::{EmbeddedGallery, Error, OpenOptions, Settings};

use crate::support::Fresh;

#[cfg(feature = "usearch")]
mod with_usearch;

fn open(fresh: &Fresh, approximate_above: Option<usize>) -> Result<EmbeddedGallery, Error> {
    let options = OpenOptions { approximate_above, ..OpenOptions::default() };
    EmbeddedGallery::open(&fresh.path(), options)
}

#[test]
fn a_build_without_it_says_how_to_get_it() {
    let opened = open(&Fresh::new(&Settings::new(2)), Some(0));
    match cfg!(feature = "usearch") {
        true => assert!(opened.is_ok()),
        false => {
            let error = opened.map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("--features usearch") && error.lines().count() == 1, "{error}");
        }
    }
    assert!(open(&Fresh::new(&Settings::new(2)), None).is_ok());
}
