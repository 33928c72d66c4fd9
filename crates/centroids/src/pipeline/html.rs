//! What all pages share: their look, and text and pictures as HTML holds them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1c1c1e; --soft: #6b6b70; --page: #f6f6f4; --card: #fff; \
--line: #dedede; --right: #14803c; --wrong: #c4262e; --c0: #0b62b8; --c1: #b3541e; --c2: #14803c; \
--c3: #8a3fa8; --c4: #a1782a; --c5: #23858f; --c6: #c4262e; --c7: #5c6470; --c8: #3d3a9e; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #a0a0a6; --page: #17181a; \
--card: #222326; --line: #37383c; --right: #4cc77a; --wrong: #ff7b78; --c0: #6db3f2; \
--c1: #f0a070; --c2: #4cc77a; --c3: #cf9be6; --c4: #dcbb6a; --c5: #68c8d2; --c6: #ff7b78; \
--c7: #a9b0bb; --c8: #a3a0f0; } }
body { margin: 0 auto; max-width: 90rem; padding: 2rem 1.5rem; background: var(--page); \
color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.card { margin: 1rem 0; padding: 0.9rem 1rem; background: var(--card); \
border: 1px solid var(--line); border-radius: 8px; overflow-x: auto; }
.card p { margin: 0.1rem 0 0.6rem; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); }
.charts .card { margin: 0; }
.maps { grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)); }
.part { margin: 2.5rem 0 1rem; font-size: 1.25rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.strip { background: #fff; padding: 4px; border-radius: 4px; width: fit-content; }
.strip img { display: block; max-width: 100%; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
summary { margin-top: 0.5rem; cursor: pointer; color: var(--soft); }
td, th { padding: 0.05rem 1rem 0.05rem 0; text-align: left; font-variant-numeric: tabular-nums; \
overflow-wrap: anywhere; }
.figures td, .figures th { white-space: nowrap; }
";

/// A page that needs nothing from elsewhere; `body` follows its heading.
pub(super) fn page(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n<h1>{title}</h1>\n{body}</html>\n"
    )
}

/// Text as HTML holds it, in attributes too.
pub(super) fn text(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A file name as a relative link: everything but plain letters, digits and `-._` is escaped.
pub(super) fn url(file: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    file.bytes().map(byte).collect()
}

/// The bytes of a picture as its address, so that the page holds it; `kind` is `png` or `jpeg`.
pub(super) fn picture_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:image/{kind};base64,{}", STANDARD.encode(bytes))
}

/// A table of figures; cells are HTML already.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: String = header.iter().map(|name| format!("<th>{}", text(name))).collect();
    let row = |row: &Vec<String>| {
        let cells: String = row.iter().map(|cell| format!("<td>{cell}")).collect();
        format!("<tr>{cells}\n")
    };
    format!(
        "<table class=\"figures\"><tr>{header}\n{}</table>\n",
        rows.iter().map(row).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_the_page() {
        let html = page("<b> & \"c\"", &table(&["a<"], &[vec!["1".to_owned()]]));
        assert!(html.contains("<title>&lt;b&gt; &amp; &quot;c&quot;</title>"));
        assert!(html.contains("<th>a&lt;\n<tr><td>1\n"));
        assert_eq!(url("<#1>.png"), "%3C%231%3E.png");
        assert_eq!(picture_url("png", b"PNG"), "data:image/png;base64,UE5H");
    }
}
