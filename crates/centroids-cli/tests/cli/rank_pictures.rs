use std::fs;
use std::path::{Path, PathBuf};

use centroids::core::Embeddings;
use centroids::data::{DEFAULT_MAX_PIXELS, decode_file};
use serde_json::Value;

use crate::catalogue::{Shared, centroids, everything, json};

fn evaluate(query: &Path, gallery: &Path, dir: &Path, more: &[&str]) -> Value {
    let files = ["evaluate", "--query", query.to_str().unwrap(), "--gallery"];
    let files = files.into_iter().chain([gallery.to_str().unwrap(), "--visualize"]);
    json(files.chain([dir.to_str().unwrap()]).chain(more.iter().copied()))
}

#[test]
fn every_query_gets_a_picture_in_the_reference_s_measures() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("pictures");
    let [query, gallery] = ["query", "gallery"].map(|split| Shared::get().embeddings(split));
    let size = ["--visualize-size", "40", "24", "--visualize-topk", "5"];
    let said = evaluate(&query, &gallery, &dir, &[&size[..], &["--unit", "centroid"]].concat());
    let queries = Embeddings::load(&query).unwrap();
    assert_eq!(said["pictures"][0]["queries"], queries.len());
    assert_eq!(said["pictures"][0]["missing"], Value::Array(vec![]));
    assert_eq!(everything(&dir).len(), queries.len() + 1);
    let html = fs::read_to_string(dir.join("index.html")).unwrap();
    for path in queries.paths() {
        let name = format!("{}.png", Path::new(path).file_stem().unwrap().to_str().unwrap());
        let picture = decode_file(&dir.join(&name), DEFAULT_MAX_PIXELS).unwrap();
        assert_eq!((picture.height, picture.width), (40, 6 * 24 + 2 * 5 + 8));
        assert_eq!(picture.row(0)[..3], [0, 0, 0], "the query's frame is black");
        let frames = (0..5).map(|i| &picture.row(0)[3 * ((i + 1) * 24 + 2 * i + 8)..][..3]);
        let green = frames.filter(|frame| *frame == [20, 160, 60]).count();
        assert!(green <= 1, "an identity is found once");
        assert!(html.contains(&format!("src=\"{name}\"")), "{name}");
    }
    // No more pictures than asked for, and a folder for each of several units.
    let several = folder.path().join("several");
    let few = [&size[..], &["--visualize-max-number", "2"]].concat();
    let said = evaluate(&query, &gallery, &several, &few);
    assert_eq!(said["pictures"].as_array().unwrap().len(), 3);
    assert_eq!(everything(&several.join("nearest-market")).len(), 3);
}

#[test]
fn missing_pictures_are_named_and_the_rest_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [query, gallery] = ["query", "gallery"]
        .map(|split| Embeddings::load(&Shared::get().embeddings(split)).unwrap());
    // The same pictures from elsewhere, where one is missing; queries of one stem.
    fs::create_dir(path("moved")).unwrap();
    let mut paths: Vec<String> = query.paths().to_vec();
    paths[0] = path("moved/gone.jpg").to_string_lossy().into_owned();
    paths[2] = paths[1].clone();
    let moved = Embeddings::new(
        query.dim(),
        query.values().to_vec(),
        query.pids().to_vec(),
        query.camids().to_vec(),
        paths,
    );
    let files = ["q.safetensors", "g.safetensors"].map(path);
    moved.unwrap().save(&files[0]).unwrap();
    gallery.save(&files[1]).unwrap();
    let mut command = centroids(["evaluate", "--unit", "instance", "--visualize-max-number", "3"]);
    command.arg("--query").arg(&files[0]).arg("--gallery").arg(&files[1]);
    command.args(["--visualize-size", "32", "32", "--visualize"]).arg(path("out"));
    let output = command.assert().success().get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("1 pictures are missing") && said.contains("gone.jpg"), "{said}");
    let drawn = everything(&path("out"));
    let stem = Path::new(&query.paths()[1]).file_stem().unwrap().to_str().unwrap().to_owned();
    for name in ["gone.png".to_owned(), format!("{stem}.png"), format!("{stem}-2.png")] {
        assert!(drawn.contains(&PathBuf::from(&name)), "{name} is not in {drawn:?}");
    }
    assert_eq!(drawn.len(), 4);
}

#[test]
fn the_cost_of_each_unit_is_counted_and_measured() {
    let [query, gallery] = ["query", "gallery"].map(|split| Shared::get().embeddings(split));
    let set = Embeddings::load(&gallery).unwrap();
    let arguments = ["evaluate", "--query", query.to_str().unwrap(), "--gallery"];
    let said = json(arguments.into_iter().chain([gallery.to_str().unwrap()]));
    let costs = said["costs"].as_array().unwrap();
    let classes = set.pids().iter().collect::<std::collections::BTreeSet<_>>().len();
    for (cost, (unit, rows)) in
        costs.iter().zip([("instance", set.len()), ("nearest", set.len()), ("centroid", classes)])
    {
        assert_eq!((&cost["unit"], &cost["rows"]), (&unit.into(), &rows.into()));
        assert_eq!(cost["bytes"], rows * 512 * 4);
        assert!(cost["seconds_per_query"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(costs.len(), 3);
}
