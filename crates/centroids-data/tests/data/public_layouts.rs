use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use centroids_core::CamId;
use centroids_data::{Dataset, DatasetSource, Error, ImageRecord, Layout};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::layouts::{assert_odd, load, pids, summary};
use crate::support::assert_says;

/// A folder with empty files and, where there is text, lists.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    dir
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Loads `root`, which must be recognised as `layout`.
fn detected(root: &Path, layout: Layout) -> Dataset {
    assert_eq!(Layout::detect(root).unwrap(), layout);
    load(layout, root).unwrap()
}

fn train_names(dataset: &Dataset) -> Vec<&str> {
    dataset.train.iter().map(|r| dataset.pid_names[&r.pid].as_str()).collect()
}

fn refused(layout: Layout, root: &Path, parts: &[&str]) {
    assert_says(&load(layout, root).unwrap_err(), parts);
}

fn msmt17(train: &str, test: &str) -> TempDir {
    let dir = tree(&[
        ("list_train.txt", "0000/0000_000_01_0303morning_0008_0.jpg 0\n"),
        ("list_val.txt", "0000/0000_005_15_0303noon_0009_1_ex.jpg 0\r\n\r\n"),
        ("list_query.txt", "0000/0000_000_05_0303morning_0021_0.jpg 0\n"),
        ("list_gallery.txt", "0000/0000_001_14_0302evening_0007_0.jpg 0\n0001/0001_000_01_a.jpg 1"),
    ]);
    for name in ["0000_000_01_0303morning_0008_0.jpg", "0000_005_15_0303noon_0009_1_ex.jpg"] {
        write(&dir.path().join(train), &[(&format!("0000/{name}"), "")]);
    }
    for name in [
        "0000/0000_000_05_0303morning_0021_0.jpg",
        "0000/0000_001_14_0302evening_0007_0.jpg",
        "0001/0001_000_01_a.jpg",
    ] {
        write(&dir.path().join(test), &[(name, "")]);
    }
    dir
}

#[test]
fn msmt17_sets_train_identities_apart_from_test_ones_of_the_same_number() {
    for (train, test) in [("train", "test"), ("mask_train_v2", "mask_test_v2")] {
        let dir = msmt17(train, test);
        let dataset = detected(dir.path(), Layout::Msmt17);
        assert_eq!(train_names(&dataset), ["train/0", "train/0"]);
        assert_eq!((pids(&dataset.query), pids(&dataset.gallery)), (vec![0], vec![0, 1]));
        let cameras: Vec<_> = dataset.train.iter().map(|record| record.camid).collect();
        assert_eq!(cameras, [Some(CamId(0)), Some(CamId(14))]);
        assert_eq!(dataset.oddities, [""; 0]);
    }
    let above = tempfile::tempdir().unwrap();
    fs::rename(msmt17("train", "test").path(), above.path().join("MSMT17_V1")).unwrap();
    assert_eq!(detected(above.path(), Layout::Msmt17).train.len(), 2);
}

#[test]
fn half_of_msmt17_is_refused_by_name() {
    let dir = msmt17("train", "test");
    let (root, list) = (dir.path(), dir.path().join("list_gallery.txt"));
    for (text, parts) in [
        ("0001/0001_000_01_a.jpg", ["line 1", "an identity"]),
        ("0001/0001_000_01_a.jpg one", ["line 1", "must be a number"]),
        ("0001/0001_a.jpg 1", ["line 1", "must be the camera"]),
        ("../0001/0001_000_01_a.jpg 1", ["line 1", "below the image folder"]),
        ("0001/0001_000_01_b.jpg 1", ["list_gallery.txt", "0001_000_01_b.jpg` missing"]),
        (" \n", ["list_gallery.txt", "empty"]),
    ] {
        fs::write(&list, text).unwrap();
        refused(Layout::Msmt17, root, &parts);
    }
    fs::remove_file(&list).unwrap();
    refused(Layout::Msmt17, root, &["list_gallery.txt` does not exist"]);
    fs::remove_dir_all(root.join("test")).unwrap();
    refused(Layout::Msmt17, root, &["no train/ and test/"]);
    refused(Layout::Msmt17, tree(&[]).path(), &["list_train.txt", "MSMT17_V1"]);
}

#[test]
fn cuhk03np_asks_which_boxes_are_meant() {
    let files = [
        "bounding_box_train/0001_c1_1.png",
        "query/0003_c1_1.png",
        "bounding_box_test/0003_c2_6.png",
    ];
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("cuhk03-np");
    for file in files {
        write(&set, &[(&format!("labeled/{file}"), "")]);
    }
    for root in [dir.path(), &set, &set.join("labeled")] {
        let dataset = detected(root, Layout::Cuhk03np);
        assert_eq!(summary(&dataset.gallery), [("0003_c2_6.png".into(), 3, Some(1))]);
    }
    fs::create_dir(set.join("detected")).unwrap();
    refused(Layout::Cuhk03np, dir.path(), &["labeled` or", "detected`", "two sets"]);
    assert_eq!(load(Layout::Cuhk03np, &set.join("labeled")).unwrap().train.len(), 1);
    refused(Layout::Cuhk03np, &set.join("detected"), &["no bounding_box_train/"]);
}

#[test]
fn veri776_takes_the_images_of_its_lists() {
    let dir = tree(&[
        ("VeRi/image_train/0001_c001_00016450_0.jpg", ""),
        ("VeRi/image_train/0001_c020_00016460_0.jpg", ""),
        ("VeRi/image_query/0002_c002_00030600_0.jpg", ""),
        ("VeRi/image_test/0002_c003_00030605_1.jpg", ""),
        ("VeRi/image_test/0002_c004_00030605_1.jpg", ""),
        ("VeRi/name_test.txt", "0002_c003_00030605_1.jpg\n"),
    ]);
    let dataset = detected(dir.path(), Layout::Veri776);
    assert_eq!(summary(&dataset.query), [("0002_c002_00030600_0.jpg".into(), 2, Some(1))]);
    assert_eq!(summary(&dataset.gallery), [("0002_c003_00030605_1.jpg".into(), 2, Some(2))]);
    assert_eq!(dataset.train[1].camid, Some(CamId(19)));
    assert_odd(&dataset, &["gallery: images not in name_test.txt", "0002_c004_00030605_1.jpg"]);
    for (text, part) in [("gone.jpg", "gone.jpg` missing"), ("../image_test/a.jpg", "no file name")]
    {
        write(dir.path(), &[("VeRi/name_test.txt", text)]);
        refused(Layout::Veri776, dir.path(), &["name_test.txt", part]);
    }
    fs::remove_dir_all(dir.path().join("VeRi/image_query")).unwrap();
    refused(Layout::Veri776, dir.path(), &["image_query/"]);
}

fn vehicleid() -> TempDir {
    let rows = |ids: std::ops::Range<u32>| {
        ids.map(|i| format!("{i:07} {}\n", 100 + i / 4)).collect::<String>()
    };
    let dir = tree(&[
        ("train_test_split/train_list.txt", &rows(0..8)),
        ("train_test_split/test_list_800.txt", &rows(8..25)),
        ("train_test_split/test_list_1600.txt", &rows(8..16)),
    ]);
    for i in 0..25 {
        write(dir.path(), &[(&format!("image/{i:07}.jpg"), "")]);
    }
    dir
}

#[test]
fn vehicleid_keeps_one_image_of_each_vehicle_in_the_gallery() {
    let dir = vehicleid();
    let dataset = detected(dir.path(), Layout::Vehicleid);
    assert_eq!(pids(&dataset.gallery), [102, 103, 104, 105, 106], "one each, 106 has no other");
    assert_eq!(dataset.query.len(), 12);
    assert!(dataset.query.iter().all(|record| !dataset.gallery.contains(record)));
    let first: Vec<_> = [8, 12, 16, 20, 24].map(|i| format!("{i:07}.jpg")).into();
    let drawn: Vec<_> = summary(&dataset.gallery).into_iter().map(|row| row.0).collect();
    assert_ne!(drawn, first, "drawn, not the first ones");
    assert_eq!(load(Layout::Vehicleid, dir.path()).unwrap(), dataset, "always the same draw");
    let larger = load(Layout::Vehicleid1600, dir.path()).unwrap();
    assert_eq!((larger.query.len(), larger.gallery.len()), (6, 2));
    refused(Layout::Vehicleid2400, dir.path(), &["test_list_2400.txt` does not exist"]);
    for (text, part) in [
        ("0000008", "want an image"),
        ("../1 2", "want an image"),
        ("0000099 2", "0000099.jpg` missing"),
    ] {
        write(dir.path(), &[("train_test_split/test_list_800.txt", text)]);
        refused(Layout::Vehicleid, dir.path(), &["test_list_800.txt", part]);
    }
    fs::remove_dir_all(dir.path().join("image")).unwrap();
    refused(Layout::Vehicleid, dir.path(), &["no image/"]);
}

#[test]
fn no_image_of_online_products_meets_itself() {
    let head = "image_id class_id super_class_id path\n";
    let dir = tree(&[
        ("Ebay_train.txt", &format!("{head}1 1 1 bicycle_final/111085122871_0.JPG\n")),
        (
            "Ebay_test.txt",
            &format!("{head}2 11319 1 bicycle_final/a 0.JPG\n3 11319 1 chair_final/b_1.JPG\n"),
        ),
        ("bicycle_final/111085122871_0.JPG", ""),
        ("bicycle_final/a 0.JPG", ""),
        ("chair_final/b_1.JPG", ""),
    ]);
    let dataset = detected(dir.path(), Layout::Sop);
    assert_eq!((pids(&dataset.train), pids(&dataset.query)), (vec![1], vec![11319, 11319]));
    assert_eq!(dataset.query, dataset.gallery);
    for query in &dataset.query {
        let same_camera = |other: &&ImageRecord| CamId::same(query.camid, other.camid);
        let excluded: Vec<_> = dataset.gallery.iter().filter(same_camera).collect();
        assert_eq!(excluded, [query], "its own camera holds it and nothing else");
    }
    assert_odd(&dataset, &["camera rules market and cross leave out the query itself"]);
    assert!(dataset.oddities.iter().all(|line| !line.contains("more than once")));
    for (text, part) in
        [("2 x 1 a.JPG", "line 1"), ("2 1 1 /etc/a", "line 1"), ("2 1 1 z", "z` missing")]
    {
        write(dir.path(), &[("Ebay_test.txt", text)]);
        refused(Layout::Sop, dir.path(), &["Ebay_test.txt", part]);
    }
    fs::remove_file(dir.path().join("Ebay_test.txt")).unwrap();
    refused(Layout::Sop, dir.path(), &["Ebay_test.txt` does not exist"]);
}

#[test]
fn inshop_is_read_from_its_partition() {
    let item = "img/WOMEN/Dresses/id_00000002";
    let list = format!(
        "3\nimage_name item_id evaluation_status\n{item}/02_1_front.jpg   id_00000002  train\n\
         img/MEN/Denim/id_00000080/01_1_front.jpg id_00000080 query\n\
         img/MEN/Denim/id_00000080/01_2_side.jpg id_00000080 gallery\n"
    );
    for folder in ["", "Img/"] {
        let dir = tree(&[
            ("Eval/list_eval_partition.txt", &list),
            (&format!("{folder}{item}/02_1_front.jpg"), ""),
            (&format!("{folder}img/MEN/Denim/id_00000080/01_1_front.jpg"), ""),
            (&format!("{folder}img/MEN/Denim/id_00000080/01_2_side.jpg"), ""),
        ]);
        let dataset = detected(dir.path(), Layout::Inshop);
        assert_eq!(dataset.pid_names.values().collect::<Vec<_>>(), ["id_00000002", "id_00000080"]);
        assert_eq!(summary(&dataset.gallery), [("01_2_side.jpg".into(), 2, None)]);
        for (from, to, part) in [
            ("3\n", "4\n", "announces 4 rows and has 3"),
            ("query", "val", "want an image, an item"),
            ("img/MEN", "../MEN", "want an image, an item"),
            ("01_1", "09_1", "09_1_front.jpg` missing"),
            ("image_name item_id", "image_pair_name_1", "must start with"),
        ] {
            write(dir.path(), &[("Eval/list_eval_partition.txt", &list.replacen(from, to, 1))]);
            refused(Layout::Inshop, dir.path(), &["list_eval_partition.txt", part]);
        }
    }
}

/// A COCO file of `(image id, file name, pair id)`.
fn coco(rows: &[(i64, &str, i64)]) -> Value {
    let image =
        |(id, name, _): &(i64, &str, i64)| json!({"id": id, "file_name": name, "width": 320});
    let annotation = |(id, _, pair): &(i64, &str, i64)| json!({"id": 7, "image_id": id, "pair_id": pair, "source": "shop", "bbox": "", "style": 1});
    json!({
        "images": rows.iter().map(image).collect::<Vec<_>>(),
        "annotations": rows.iter().map(annotation).collect::<Vec<_>>(),
    })
}

const TRAIN: [(i64, &str, i64); 4] =
    [(1, "ü b_1_0.jpg", 5), (2, "a.jpg", 3), (3, "sub/c.jpg", 5), (4, "gallery.jpg", 0)];
const QUERY: [(i64, &str, i64); 1] = [(1, "q.jpg", 0)];
const GALLERY: [(i64, &str, i64); 2] = [(8, "train.jpg", 5), (9, "g.jpg", 0)];

/// The three JSONs as `json` names them ("train" in it) and their images below `images`.
fn coco_tree(json: &str, images: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let parts: [(&str, &[_]); 3] = [("train", &TRAIN), ("query", &QUERY), ("gallery", &GALLERY)];
    for (split, rows) in parts {
        write(dir.path(), &[(&json.replace("train", split), &coco(rows).to_string())]);
        for (_, name, _) in rows {
            write(dir.path(), &[(&format!("{images}/{split}/{name}"), "")]);
        }
    }
    dir
}

#[test]
fn coco_files_are_found_as_the_reference_writes_and_reads_them() {
    for (json, images) in [
        ("train_coco_reid.json", "images_reid_cropped_320_320"),
        ("train_reid_cropped_320_320.json", "320_320_cropped_images"),
        ("train_320_320.json", "320_320_images"),
        ("train_128_256.json", "."),
    ] {
        let dir = coco_tree(json, images);
        let roots = [dir.path().to_path_buf(), dir.path().join(images), dir.path().join(json)];
        for root in &roots {
            let dataset = load(Layout::Coco, root).unwrap();
            assert_eq!(train_names(&dataset), ["train/5", "train/5"], "{}", root.display());
            assert_eq!(summary(&dataset.query), [("q.jpg".into(), 0, Some(0))]);
            let gallery = [("g.jpg".into(), 0, Some(1)), ("train.jpg".into(), 5, Some(1))];
            assert_eq!(summary(&dataset.gallery), gallery, "camera by split, not by name");
            assert!(dataset.train.iter().all(|record| record.path.is_file()));
            assert_odd(&dataset, &["train: pair_ids with one image, dropped: 2 (0, 3)"]);
        }
        assert_eq!(Layout::detect(dir.path()).unwrap(), Layout::Coco);
        assert_eq!(Layout::detect(&roots[2]).unwrap(), Layout::Coco);
    }
}

fn with_json(root: &Path, json: &Path) -> Result<Dataset, Error> {
    let json_train_path = Some(json.into());
    DatasetSource { json_train_path, ..DatasetSource::new(Layout::Coco, root) }.load()
}

#[test]
fn of_several_coco_sizes_the_given_one_is_read() {
    let dir = coco_tree("train_320_320.json", "320_320_images");
    let small = coco_tree("train_128_256.json", "128_256_images");
    for entry in fs::read_dir(small.path()).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    refused(Layout::Coco, dir.path(), &["several", "train_128_256.json, train_320_320.json"]);
    let json = dir.path().join("train_128_256.json");
    for json in [json.as_path(), Path::new("train_128_256.json")] {
        let dataset = with_json(dir.path(), json).unwrap();
        assert!(dataset.query[0].path.starts_with(dir.path().join("128_256_images/query")));
    }
    // As the reference's: "train" replaced in the whole path; and a folder that is called so.
    let apart = coco_tree("training/train/ann_train.json", "im");
    assert!(with_json(apart.path(), &apart.path().join("training/train/ann_train.json")).is_ok());
    let inside = coco_tree("train.json", "im");
    let root = inside.path().join("train_sets");
    fs::create_dir(&root).unwrap();
    for name in ["train.json", "query.json", "gallery.json", "im"] {
        fs::rename(inside.path().join(name), root.join(name)).unwrap();
    }
    assert!(with_json(&root, &root.join("train.json")).is_ok());
    refused(Layout::Coco, tree(&[("a/1.jpg", "")]).path(), &["no train, query and gallery JSON"]);
    fs::remove_file(root.join("query.json")).unwrap();
    refused(Layout::Coco, &root, &["train.json", "query.json` is missing"]);
    fs::remove_dir_all(dir.path().join("128_256_images/query")).unwrap();
    fs::remove_dir_all(dir.path().join("320_320_images/query")).unwrap();
    assert_says(&with_json(dir.path(), &json).unwrap_err(), &["no folder with train/, query/"]);
}

#[test]
fn broken_coco_files_are_named() {
    let dir = coco_tree("train.json", ".");
    let list = |images: Value, annotations: Value| {
        json!({"images": images, "annotations": annotations}).to_string()
    };
    let image = |id: i64, name: &str| json!({"id": id, "file_name": name});
    let one = || json!([{"image_id": 1, "pair_id": 0}]);
    for (text, part) in [
        ("{".to_owned(), "EOF while parsing"),
        ("[]".to_owned(), "want images"),
        (r#"{"images": []}"#.to_owned(), "missing field `annotations`"),
        (list(json!([{"id": 1}]), one()), "missing field `file_name`"),
        (list(json!([image(1, "q.jpg")]), json!([{"image_id": 1}])), "missing field `pair_id`"),
        (list(json!([image(1, "q.jpg")]), json!([{"image_id": 1, "pair_id": -2}])), "pair_id -2"),
        (list(json!([image(2, "q.jpg")]), one()), "no annotation names an image"),
        (list(json!([image(1, "/q.jpg")]), one()), "leads out"),
        (list(json!([image(1, "../train/a.jpg\n")]), one()), "leads out"),
        (list(json!([image(1, "q.jpg"), image(1, "r.jpg")]), one()), "the id 1"),
        (list(json!([image(1, "z.jpg")]), one()), "z.jpg` missing"),
    ] {
        write(dir.path(), &[("query.json", &text)]);
        refused(Layout::Coco, dir.path(), &["query.json", part]);
    }
    let dangling = json!([{"image_id": 1, "pair_id": 0}, {"image_id": 6, "pair_id": 0}]);
    write(dir.path(), &[("query.json", &list(json!([image(1, "q.jpg")]), dangling))]);
    let dataset = load(Layout::Coco, dir.path()).unwrap();
    assert_odd(&dataset, &["query: annotations whose image_id", "1 (6)"]);
}

#[test]
fn a_coco_file_of_100_000_annotations_is_read_in_seconds() {
    let dir = coco_tree("train.json", ".");
    // Every image is annotated fifty times: making 100,000 files takes far longer than reading.
    let names: Vec<String> = (0..2_000).map(|i| format!("{i:09}_1_0.jpg")).collect();
    for name in &names {
        fs::write(dir.path().join("train").join(name), "").unwrap();
    }
    let rows: Vec<_> =
        (0..100_000).map(|i| (i, names[i as usize % names.len()].as_str(), i / 4)).collect();
    write(dir.path(), &[("train.json", &coco(&rows).to_string())]);
    let start = Instant::now();
    let dataset = load(Layout::Coco, dir.path()).unwrap();
    let took = start.elapsed();
    println!("100,000 annotations: {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let identities: BTreeSet<_> = dataset.train.iter().map(|record| record.pid).collect();
    assert_eq!((dataset.train.len(), identities.len()), (100_000, 25_000));
}

#[test]
fn names_of_layouts_take_the_usual_spellings() {
    for (name, layout) in [
        ("DukeMTMC-reID", Layout::Dukemtmcreid),
        ("Market1501", Layout::Market1501),
        ("Market-1501", Layout::Market1501),
        ("MSMT17", Layout::Msmt17),
        ("CUHK03-NP", Layout::Cuhk03np),
        ("VeRi-776", Layout::Veri776),
        ("VehicleID", Layout::Vehicleid),
        ("VehicleID-2400", Layout::Vehicleid2400),
        ("SOP", Layout::Sop),
        ("In-shop", Layout::Inshop),
        ("DF1", Layout::Coco),
        ("street2shop", Layout::Coco),
        ("DeepFashion", Layout::Coco),
    ] {
        assert_eq!(name.parse::<Layout>().unwrap(), layout, "{name}");
    }
    let names = Layout::ALL.map(Layout::name);
    assert_says(&"mars".parse::<Layout>().unwrap_err(), &names);
    for layout in Layout::ALL {
        assert_eq!(layout.name().parse::<Layout>().unwrap(), layout);
        assert_eq!(json!(layout), layout.name());
    }
}
