use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::catalogue::Shared;
use crate::service::{Server, painted};

/// A fenced example, and the answer shown below it.
struct Example {
    code: String,
    answer: Option<Value>,
}

fn manual() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http-api.md")).unwrap()
}

fn examples() -> Vec<Example> {
    let text = manual();
    let mut found: Vec<Example> = Vec::new();
    for (i, block) in text.split("\n```").enumerate().filter(|(i, _)| i % 2 == 1) {
        let (kind, body) = block.split_once('\n').unwrap_or_else(|| panic!("block {i}"));
        match kind {
            "sh" => found.push(Example { code: body.to_owned(), answer: None }),
            "json" => {
                let answer =
                    serde_json::from_str(body).unwrap_or_else(|why| panic!("{body}: {why}"));
                found.last_mut().unwrap().answer = Some(answer);
            }
            other => panic!("a block of {other}"),
        }
    }
    found
}

/// The same keys, all the way down; of lists the first entries, where both have one.
fn assert_alike(found: &Value, shown: &Value, example: &str) {
    match (found, shown) {
        (Value::Object(found), Value::Object(shown)) => {
            let keys = |of: &serde_json::Map<String, Value>| of.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(found), keys(shown), "{example}");
            found.iter().for_each(|(key, found)| assert_alike(found, &shown[key], example));
        }
        (Value::Array(found), Value::Array(shown)) => {
            assert_eq!(found.is_empty(), shown.is_empty(), "{example}");
            if let (Some(found), Some(shown)) = (found.first(), shown.first()) {
                assert_alike(found, shown, example);
            }
        }
        _ => {}
    }
}

/// What the manual shows is what happens.
#[test]
fn every_example_of_the_manual_runs() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    fs::copy(Shared::get().picture(), folder.path().join("query.jpg")).unwrap();
    fs::write(folder.path().join("new.jpg"), painted(1)).unwrap();
    let examples = examples();
    assert!(examples.len() > 12);
    for Example { code, answer } in &examples[1..] {
        let script = format!("set -euo pipefail\nC=http://{}\n{code}", server.address());
        let mut bash = Command::new("bash");
        let output = bash.arg("-c").arg(script).current_dir(folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{code}\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        if let Some(shown) = answer {
            let found = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
            assert_alike(&found, shown, code);
        } else {
            assert!(!text.contains("about:blank"), "{code}\n{text}");
        }
    }
    let small = fs::read(folder.path().join("small.jpg")).unwrap();
    assert!(small.starts_with(&[0xff, 0xd8]));
}

#[test]
fn every_route_is_in_the_manual() {
    let document = Server::start(&[]).get("/openapi.json").json();
    let paths: BTreeSet<&String> = document["paths"].as_object().unwrap().keys().collect();
    let text = manual();
    for path in paths {
        // Up to the first parameter: examples have a value in its place.
        let fixed = path.split('{').next().unwrap();
        let last = path.rsplit('/').next().unwrap();
        assert!(text.contains(&format!("$C{fixed}")), "{path}");
        assert!(last.starts_with('{') || text.contains(last), "{path}");
    }
}
