//! The page, its files in the binary.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::routing::get;

/// Path, type and content of every file of the folder `page/dist`.
macro_rules! files {
    ($($path:literal $kind:literal $file:literal;)*) => {
        [$(($path, $kind, include_bytes!(concat!("page/dist/", $file)).as_slice())),*]
    };
}

const FILES: &[(&str, &str, &[u8])] = &files! {
    "/" "text/html; charset=utf-8" "index.html";
};

/// A route for each file.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, &(path, kind, content)| {
        let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")];
        router.route(path, get(move || async move { (headers, content) }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_has_a_route() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/page/dist");
        let there = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(FILES.len(), there);
    }
}
