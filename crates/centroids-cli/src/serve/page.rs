//! The web page, inside the program.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;

/// Every file of `page/dist`.
const FILES: &[(&str, &[u8])] = &[
    ("api.js", include_bytes!("page/dist/api.js")),
    ("app.css", include_bytes!("page/dist/app.css")),
    ("app.js", include_bytes!("page/dist/app.js")),
    ("choose_class.js", include_bytes!("page/dist/choose_class.js")),
    ("class_view.js", include_bytes!("page/dist/class_view.js")),
    ("classes_view.js", include_bytes!("page/dist/classes_view.js")),
    ("deletions.js", include_bytes!("page/dist/deletions.js")),
    ("dom.js", include_bytes!("page/dist/dom.js")),
    ("favicon.svg", include_bytes!("page/dist/favicon.svg")),
    ("hit_card.js", include_bytes!("page/dist/hit_card.js")),
    ("index.html", include_bytes!("page/dist/index.html")),
    ("member_dialog.js", include_bytes!("page/dist/member_dialog.js")),
    ("picture.js", include_bytes!("page/dist/picture.js")),
    ("search_view.js", include_bytes!("page/dist/search_view.js")),
    ("settings.js", include_bytes!("page/dist/settings.js")),
    ("settings_dialog.js", include_bytes!("page/dist/settings_dialog.js")),
    ("spread_chart.js", include_bytes!("page/dist/spread_chart.js")),
    ("text.js", include_bytes!("page/dist/text.js")),
    ("toast.js", include_bytes!("page/dist/toast.js")),
];

/// The page itself.
pub(super) async fn index() -> Response {
    send("index.html")
}

/// A file that the page loads.
pub(super) async fn file(Path(name): Path<String>) -> Response {
    send(&name)
}

fn send(name: &str) -> Response {
    let Some((name, bytes)) = FILES.iter().find(|(file, _)| *file == name) else {
        return Problem::not_found("there is no such page").into_response();
    };
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    // Another version of the program has other files under the same names.
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
    (StatusCode::OK, headers, *bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_was_built_is_in_the_program() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve/page/dist");
        let mut built: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        built.sort();
        assert_eq!(built, FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
