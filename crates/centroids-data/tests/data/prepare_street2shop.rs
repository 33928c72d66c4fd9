use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use centroids_data::Error;
use centroids_data::prepare::{CropOptions, CropReport, Street2ShopOptions, prepare_street2shop};
use serde_json::{Value, json};

use crate::support::{
    assert_red_on_white, assert_says, contents, go_on, list, stop_at, write_red_on_blue,
};

const CATEGORIES: [&str; 11] = [
    "bags",
    "belts",
    "dresses",
    "eyewear",
    "footwear",
    "hats",
    "leggings",
    "outerwear",
    "pants",
    "skirts",
    "tops",
];
/// The red of all street photos (120×90), and where 32×48 pixels lie in 64×64.
const RED: [usize; 4] = [20, 10, 52, 58];
const MIDDLE: [usize; 4] = [16, 8, 48, 56];

fn street(photo: u64, product: u64) -> Value {
    let bbox = json!({ "width": 32, "top": 10, "height": 48, "left": 20 });
    json!({ "photo": photo, "product": product, "bbox": bbox })
}

fn shop(photo: u64, product: u64) -> Value {
    json!({ "photo": photo, "product": product })
}

fn write_list(root: &Path, name: &str, photos: &[Value]) {
    let folder = root.join("meta/json");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.json")), serde_json::to_vec(photos).unwrap()).unwrap();
}

/// Bags: product 7 is trained on, 5 and 9 tested. Dresses have a product 7 as well.
fn dataset(root: &Path) {
    for kind in ["train_pairs", "test_pairs", "retrieval"] {
        for category in CATEGORIES {
            write_list(root, &format!("{kind}_{category}"), &[]);
        }
    }
    // Photo 12 shows two products of one category, in the wrong order.
    write_list(root, "train_pairs_bags", &[street(12, 7), street(3, 7), street(12, 8)]);
    write_list(root, "test_pairs_bags", &[street(20, 5)]);
    write_list(
        root,
        "retrieval_bags",
        &[shop(30, 7), shop(31, 5), shop(32, 9), shop(30, 8), shop(1234567890, 9)],
    );
    write_list(root, "test_pairs_dresses", &[street(12, 7)]);
    write_list(root, "retrieval_dresses", &[shop(40, 7)]);
    for photo in [3, 12, 20] {
        write_red_on_blue(&root.join(format!("images/{photo:09}.jpg")), [120, 90], RED);
    }
    // Shop photos are taken whole, here all red; zeros and extensions differ among downloads.
    for name in ["000000030.jpg", "31.png", "000000032.jpeg", "1234567890.jpg", "000000040.jpg"] {
        write_red_on_blue(&root.join("images").join(name), [32, 48], [0, 0, 32, 48]);
    }
}

fn options(root: &Path) -> Street2ShopOptions {
    Street2ShopOptions {
        root: root.into(),
        metadata: "meta".into(),
        images: "images".into(),
        save: "lists/reid".into(),
        minimum_area: 1,
        crop: CropOptions { size: [64, 64], threads: 2, strict: false },
    }
}

fn prepare(root: &Path) -> Result<CropReport, Error> {
    prepare_street2shop(&options(root), &mut go_on).map(Option::unwrap)
}

fn read_json(root: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(root.join("lists/reid").join(name)).unwrap()).unwrap()
}

/// Image id, pair id, category and source.
type Entry = (u64, u64, u64, String);

fn named<const N: usize>(set: [(&str, Entry); N]) -> BTreeMap<String, Entry> {
    set.map(|(name, entry)| (name.to_owned(), entry)).into()
}

fn members(root: &Path, set: &str) -> BTreeMap<String, Entry> {
    let all = read_json(root, &format!("{set}_coco_reid.json"));
    let images = list(&all, "images");
    let member = |annotation: &Value| {
        let image = images.iter().find(|image| image["id"] == annotation["image_id"]).unwrap();
        let number = |key: &str| annotation[key].as_u64().unwrap();
        let source = annotation["source"].as_str().unwrap().to_owned();
        let what = (number("image_id"), number("pair_id"), number("category_id"), source);
        (image["file_name"].as_str().unwrap().to_owned(), what)
    };
    list(&all, "annotations").iter().map(member).collect()
}

#[test]
fn sets_and_numbers_are_those_of_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    let report = prepare(folder.path()).unwrap();
    let counts: Vec<_> =
        report.sets.iter().map(|count| (count.set, count.identities, count.images)).collect();
    // Retrieval of product 7 and 8 is trained on; 5 and 9, and the dress, are not.
    assert_eq!(counts, [("train", 2, 5), ("query", 2, 2), ("gallery", 3, 4)]);
    let of = |id, pair_id, category, source: &str| (id, pair_id, category, source.to_owned());
    let train = [
        ("000000003_0_0.jpg", of(1, 0, 0, "user")),
        ("000000012_0_0.jpg", of(2, 0, 0, "user")), // product 7
        ("000000012_0_1.jpg", of(3, 1, 0, "user")), // product 8
        ("000000030_0_0.jpg", of(4, 0, 0, "shop")),
        ("000000030_0_1.jpg", of(5, 1, 0, "shop")),
    ];
    let query =
        [("000000012_2_0.jpg", of(10, 4, 2, "user")), ("000000020_0_0.jpg", of(6, 2, 0, "user"))];
    let gallery = [
        ("000000031_0_0.jpg", of(7, 2, 0, "shop")),
        ("000000032_0_0.jpg", of(8, 3, 0, "shop")),
        ("000000040_2_0.jpg", of(11, 4, 2, "shop")),
        ("1234567890_0_0.jpg", of(9, 3, 0, "shop")),
    ];
    let root = folder.path();
    assert_eq!(members(root, "train"), named(train));
    assert_eq!(members(root, "query"), named(query));
    assert_eq!(members(root, "gallery"), named(gallery));
    let all = read_json(root, "gallery_coco_reid.json");
    let ids: Vec<u64> =
        list(&all, "annotations").iter().map(|a| a["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(list(&all, "categories").len(), 11);
    let first = &all["images"][0];
    assert_eq!((&first["width"], &first["height"]), (&64.into(), &64.into()));
}

#[test]
fn a_crop_holds_its_box_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    let report = prepare(folder.path()).unwrap();
    let mut crops = 0;
    for set in ["train", "query", "gallery"] {
        for name in members(folder.path(), set).into_keys() {
            let path = folder.path().join("images_reid_cropped_64_64").join(set).join(name);
            assert_red_on_white(&path, [64, 64], MIDDLE);
            crops += 1;
        }
    }
    assert_eq!((crops, report.boxes_left_out), (11, 0));
}

#[test]
fn the_intermediate_lists_are_written_too() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    let report = prepare(folder.path()).unwrap();
    assert_eq!(report.lists.len(), 3 + 11 + 1 + 3);
    assert!(report.lists.iter().all(|list| list.is_file()), "{:?}", report.lists);
    let text =
        |name: &str| fs::read_to_string(folder.path().join("lists/reid").join(name)).unwrap();
    assert_eq!(text("train_data.txt"), "000000012.jpg\n000000003.jpg\n000000012.jpg\n");
    assert_eq!(text("test_data.txt"), "000000020.jpg\n000000012.jpg\n");
    assert_eq!(text("train_all.txt"), text("train_data.txt") + &text("test_data.txt"));
    let bags = "000000030.jpg\n000000031.jpg\n000000032.jpg\n1234567890.jpg\n";
    assert_eq!(text("bags_products.txt"), bags);
    assert_eq!(text("tops_products.txt"), "");

    let street = read_json(folder.path(), "all_street_train.json");
    let size = |image: &Value| [&image["id"], &image["width"], &image["height"]].map(Value::clone);
    let images: Vec<_> = list(&street, "images").iter().map(size).collect();
    assert_eq!(images, [[12, 120, 90], [3, 120, 90], [20, 120, 90]].map(|i| i.map(Value::from)));
    let annotations = list(&street, "annotations");
    let brief = |a: &Value| [&a["id"], &a["image_id"], &a["category_id"]].map(Value::clone);
    let brief: Vec<_> = annotations.iter().map(brief).collect();
    let wanted = [[0, 12, 0], [1, 3, 0], [2, 12, 0], [3, 20, 0], [4, 12, 2]];
    assert_eq!(brief, wanted.map(|row| row.map(Value::from)));
    assert_eq!(annotations[0]["bbox"], json!([20.0, 10.0, 32.0, 48.0]));
    assert!(annotations[0].get("pair_id").is_none());
}

#[test]
fn what_is_missing_broken_or_too_small_is_left_out_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    dataset(root);
    let wrong = |bbox: Value| json!({ "photo": 3, "product": 7, "bbox": bbox });
    write_list(
        root,
        "train_pairs_bags",
        &[
            street(12, 7),
            wrong(json!({ "left": 500, "top": 0, "width": 9, "height": 9 })), // outside
            wrong(json!({ "left": 0, "top": 0, "width": 2, "height": 4 })),   // too small
            wrong(json!({ "left": 0, "top": 0, "width": 0, "height": 90 })),
            wrong(json!({ "left": -8, "top": -8, "width": 1e300, "height": 1e300 })), // clipped
        ],
    );
    fs::remove_file(root.join("images/000000020.jpg")).unwrap();
    fs::write(root.join("images/000000030.jpg"), "no picture").unwrap();
    let options = Street2ShopOptions { minimum_area: 10, ..options(root) };
    let report = prepare_street2shop(&options, &mut go_on).unwrap().unwrap();
    assert_eq!(report.boxes_left_out, 3);
    assert_eq!(report.missing, [root.join("images/000000020.jpg")]);
    assert_eq!((report.broken.len(), report.broken[0].reason.contains("000000030")), (1, true));
    let train = members(root, "train");
    // The fifth box of photo 3 keeps its place among the photo's boxes.
    assert_eq!(train.keys().collect::<Vec<_>>(), ["000000003_0_3.jpg", "000000012_0_0.jpg"]);
    let mut ids: Vec<u64> = ["train", "query", "gallery"]
        .iter()
        .flat_map(|set| members(root, set).into_values().map(|(id, ..)| id))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    let street = read_json(root, "all_street_train.json");
    assert_eq!(list(&street, "images").len(), 2);

    let strict = CropOptions { strict: true, ..options.crop };
    let strict = Street2ShopOptions { crop: strict, ..options };
    let error = prepare_street2shop(&strict, &mut go_on).unwrap_err();
    assert_says(&error, &["000000020.jpg", "1 pictures are missing and 1 broken"]);
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    dataset(&whole);
    dataset(&parts);
    prepare(&whole).unwrap();
    for (stage, after) in [("measuring", 1), ("cropping", 1), ("cropping", 4)] {
        let stopped = prepare_street2shop(&options(&parts), &mut stop_at(stage, after)).unwrap();
        assert_eq!(stopped, None);
        assert!(!parts.join("lists/reid/train_coco_reid.json").exists());
    }
    prepare(&parts).unwrap();
    assert!(contents(&parts) == contents(&whole));

    // Other boxes of the same names are no continuation.
    write_list(&parts, "test_pairs_bags", &[shop(20, 5)]);
    assert_says(
        &prepare(&parts).unwrap_err(),
        &["images_reid_cropped_64_64", "remove this folder"],
    );
}

#[test]
fn hostile_metadata_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_says(&prepare(root).unwrap_err(), &["train_pairs_bags.json", "does not exist"]);
    dataset(root);
    let path = root.join("meta/json/test_pairs_hats.json");
    let cases = [
        ("", "EOF"),
        ("[{\"photo\": 1", "EOF"),
        ("{}", "invalid type: map"),
        (r#"[{"photo": "one", "product": 2}]"#, "invalid type: string"),
        (r#"[{"photo": -1, "product": 2}]"#, "invalid value"),
        (r#"[{"photo": 99999999999999999999999, "product": 2}]"#, "line 1"),
        (r#"[{"photo": 1}]"#, "missing field `product`"),
        (r#"[{"photo": 1, "product": 2, "bbox": {"left": "a"}}]"#, "invalid type: string"),
        (r#"[{"photo": 1, "product": 2, "bbox": [1, 2, 3]}]"#, "invalid length"),
        (r#"[{"photo": 1, "product": 2, "bbox": {"left": 1e999}}]"#, "number out of range"),
    ];
    for (text, problem) in cases {
        fs::write(&path, text).unwrap();
        assert_says(&prepare(root).unwrap_err(), &["test_pairs_hats.json", problem]);
    }
    assert!(!root.join("images_reid_cropped_64_64").exists());
    assert!(!root.join("lists").exists());
    fs::write(&path, "[]").unwrap();
    let nowhere = Street2ShopOptions { images: "photos".into(), ..options(root) };
    let error = prepare_street2shop(&nowhere, &mut go_on).unwrap_err();
    assert_says(&error, &["photos", "does not exist"]);
    let unnamed = Street2ShopOptions { images: "named".into(), ..options(root) };
    write_red_on_blue(&root.join("named/bag.jpg"), [9, 9], [0; 4]);
    let error = prepare_street2shop(&unnamed, &mut go_on).unwrap_err();
    assert_says(&error, &["named", "holds no photos"]);
}

#[test]
fn photos_of_which_none_is_listed_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    write_red_on_blue(&folder.path().join("others/000777777.jpg"), [9, 9], [0; 4]);
    let others = Street2ShopOptions { images: "others".into(), ..options(folder.path()) };
    let error = prepare_street2shop(&others, &mut go_on).unwrap_err();
    assert_says(&error, &["others", "000000003.jpg", "none of 11 listed pictures"]);
    assert!(!folder.path().join("lists/reid/train_coco_reid.json").exists());
}

#[test]
fn lists_may_lie_in_the_metadata_folder_itself() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    let flat = Street2ShopOptions { metadata: "meta/json".into(), ..options(folder.path()) };
    let report = prepare_street2shop(&flat, &mut go_on).unwrap().unwrap();
    assert_eq!(report.sets[0].images, 5);
}
