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
    "/api.js" "text/javascript; charset=utf-8" "api.js";
    "/app.css" "text/css; charset=utf-8" "app.css";
    "/app.js" "text/javascript; charset=utf-8" "app.js";
    "/choose_class.js" "text/javascript; charset=utf-8" "choose_class.js";
    "/class_view.js" "text/javascript; charset=utf-8" "class_view.js";
    "/classes_view.js" "text/javascript; charset=utf-8" "classes_view.js";
    "/deletions.js" "text/javascript; charset=utf-8" "deletions.js";
    "/dom.js" "text/javascript; charset=utf-8" "dom.js";
    "/favicon.svg" "image/svg+xml" "favicon.svg";
    "/hit_card.js" "text/javascript; charset=utf-8" "hit_card.js";
    "/" "text/html; charset=utf-8" "index.html";
    "/member_dialog.js" "text/javascript; charset=utf-8" "member_dialog.js";
    "/picture.js" "text/javascript; charset=utf-8" "picture.js";
    "/search_view.js" "text/javascript; charset=utf-8" "search_view.js";
    "/settings.js" "text/javascript; charset=utf-8" "settings.js";
    "/settings_dialog.js" "text/javascript; charset=utf-8" "settings_dialog.js";
    "/spread_chart.js" "text/javascript; charset=utf-8" "spread_chart.js";
    "/text.js" "text/javascript; charset=utf-8" "text.js";
    "/toast.js" "text/javascript; charset=utf-8" "toast.js";
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
