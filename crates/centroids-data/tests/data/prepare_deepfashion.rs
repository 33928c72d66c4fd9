use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use centroids_data::Error;
use centroids_data::prepare::{CropOptions, CropReport, prepare_deepfashion};
use serde_json::Value;

use crate::support::{
    assert_red_on_white, assert_says, contents, go_on, list, stop_at, write_red_on_blue,
};

const OPTIONS: CropOptions = CropOptions { size: [64, 64], threads: 2, strict: false };

/// Corners in `img`; in a picture twice as large the red is 32×48 pixels.
const SMALL: [usize; 4] = [10, 5, 26, 29];
const LARGE: [usize; 4] = [20, 10, 52, 58];
/// Where 32×48 pixels lie in 64×64.
const MIDDLE: [usize; 4] = [16, 8, 48, 56];

/// Item, picture, source code, subset: names as published, misspelling included.
const PICTURES: [(&str, &str, u32, &str); 9] = [
    ("CLOTHING/Blouse/id_00000003", "comsumer_01.jpg", 2, "train"),
    ("CLOTHING/Blouse/id_00000003", "shop_01.jpg", 1, "train"),
    ("CLOTHING/Summer_Wear/id_00000001", "comsumer_01.jpg", 2, "val"),
    ("CLOTHING/Summer_Wear/id_00000001", "shop_01.jpg", 1, "val"),
    ("DRESSES/Dress/id_00000002", "comsumer_01.jpg", 2, "test"),
    ("DRESSES/Dress/id_00000002", "comsumer_02.jpg", 2, "test"),
    ("DRESSES/Dress/id_00000002", "shop_01.jpg", 1, "test"),
    ("TOPS/T_Shirt/id_00000009", "comsumer_01.jpg", 2, "test"),
    ("TOPS/T_Shirt/id_00000009", "shop_01.jpg", 1, "test"),
];

/// Writes the lists and, for every tree, its pictures.
fn dataset(root: &Path, trees: &[(&str, [usize; 2], [usize; 4])]) {
    let mut boxes = "9\nimage_name clothes_type source_type x_1 y_1 x_2 y_2\n".to_owned();
    let mut pairs = "5\nimage_pair_name_1 image_pair_name_2 item_id evaluation_status\n".to_owned();
    for (item, file, source, subset) in PICTURES {
        boxes += &format!("img/{item}/{file}   1       {source}       010 005 026 029\n");
        if source == 2 {
            let id = item.rsplit('/').next().unwrap();
            pairs += &format!("img/{item}/{file}  img/{item}/shop_01.jpg  {id}  {subset}\n");
        }
        for (tree, size, red) in trees {
            // `img_highres` calls a folder differently.
            let item = match *tree {
                "img_highres" => item.replace("Summer_Wear", "Summer_Suit"),
                _ => item.to_owned(),
            };
            write_red_on_blue(&root.join(tree).join(item).join(file), *size, *red);
        }
    }
    fs::create_dir_all(root.join("Anno")).unwrap();
    fs::create_dir_all(root.join("Eval")).unwrap();
    fs::write(root.join("Anno/list_bbox_consumer2shop.txt"), boxes).unwrap();
    fs::write(root.join("Eval/list_eval_partition.txt"), pairs).unwrap();
}

/// With both trees: pictures of 200×150, small ones of 100×75.
fn both(root: &Path) {
    dataset(root, &[("img_highres", [200, 150], LARGE), ("img", [100, 75], SMALL)]);
}

fn prepare(root: &Path) -> Result<CropReport, Error> {
    prepare_deepfashion(root, OPTIONS, &mut go_on).map(Option::unwrap)
}

fn json(root: &Path, set: &str) -> Value {
    let path = root.join(format!("{set}_reid_cropped_64_64.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// File, pair id and source of everything in a list.
fn members(root: &Path, set: &str) -> Vec<(String, u64, String)> {
    let list_of = json(root, set);
    let images = list(&list_of, "images");
    let member = |annotation: &Value| {
        let image = images.iter().find(|image| image["id"] == annotation["image_id"]).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pair_id = annotation["pair_id"].as_u64().unwrap();
        (text(&image["file_name"]), pair_id, text(&annotation["source"]))
    };
    list(&list_of, "annotations").iter().map(member).collect()
}

#[test]
fn a_crop_holds_what_is_between_the_corners_and_nothing_else() {
    let small = ("img", [100, 75], SMALL);
    // Without `img` its size is known: the longer side is 300. Corners as they are: 16×24.
    let cases = [
        vec![("img_highres", [200, 150], LARGE), small],
        vec![("img_highres", [600, 450], LARGE)],
        vec![("Img/img_highres", [600, 450], LARGE)],
        vec![("img", [100, 75], SMALL)],
    ];
    for trees in cases {
        let folder = tempfile::tempdir().unwrap();
        dataset(folder.path(), &trees);
        let report = prepare(folder.path()).unwrap();
        assert_eq!((report.missing.len(), report.broken.len(), report.kept), (0, 0, 0));
        let red = if trees == [small] { [24, 20, 40, 44] } else { MIDDLE };
        let (mut crops, images) = (0, folder.path().join("64_64_cropped_images"));
        for (name, _) in contents(&images) {
            if name.extension().is_some_and(|extension| extension == "jpg") {
                // 20 and 44 are not on the grid of blocks; the small red is looked at in its middle.
                match red == MIDDLE {
                    true => assert_red_on_white(&images.join(name), [64, 64], red),
                    false => assert_middle_is_red(&images.join(name), red),
                }
                crops += 1;
            }
        }
        // 2 of train, 2 of val, 5 of test; 3 of query, 2 + 1 of gallery.
        assert_eq!(crops, 9 + 3 + 3, "{trees:?}");
    }
}

/// Red inside, white outside, two pixels off the edge.
fn assert_middle_is_red(path: &Path, [x1, y1, x2, y2]: [usize; 4]) {
    let picture = centroids_data::decode_file(path, centroids_data::DEFAULT_MAX_PIXELS).unwrap();
    let red = |x: usize, y: usize| picture.row(y)[x * 3 + 1] < 128;
    for (y, x) in (0..64).flat_map(|y| (0..64).map(move |x| (y, x))) {
        let inside = (x1..x2).contains(&x) && (y1..y2).contains(&y);
        assert_eq!(red(x, y), inside, "{x}, {y}");
    }
}

#[test]
fn the_lists_have_the_sets_of_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    both(folder.path());
    let report = prepare(folder.path()).unwrap();
    let counts: Vec<_> =
        report.sets.iter().map(|count| (count.set, count.identities, count.images)).collect();
    let wanted =
        [("train", 1, 2), ("val", 1, 2), ("test", 2, 5), ("query", 2, 3), ("gallery", 3, 3)];
    assert_eq!(counts, wanted);
    let of = |name: &str, pair_id, source: &str| (name.to_owned(), pair_id, source.to_owned());
    let train =
        [of("id_00000003_comsumer_01.jpg", 0, "user"), of("id_00000003_shop_01.jpg", 0, "shop")];
    assert_eq!(members(folder.path(), "train"), train);
    // Pair ids of val and test are 1, 2 and 3; of query and gallery together 0, 1 and 2.
    let query = [
        of("id_00000002_comsumer_01.jpg", 1, "user"),
        of("id_00000002_comsumer_02.jpg", 1, "user"),
        of("id_00000009_comsumer_01.jpg", 2, "user"),
    ];
    assert_eq!(members(folder.path(), "query"), query);
    let gallery = [
        of("id_00000002_shop_01.jpg", 1, "shop"),
        of("id_00000009_shop_01.jpg", 2, "shop"),
        of("id_00000001_shop_01.jpg", 0, "shop"),
    ];
    assert_eq!(members(folder.path(), "gallery"), gallery);
    let pair_ids = |set: &str| -> BTreeSet<u64> {
        members(folder.path(), set).into_iter().map(|(_, pair_id, _)| pair_id).collect()
    };
    assert_eq!([pair_ids("val"), pair_ids("test")], [[1].into(), [2, 3].into()]);
    // All that a list names is there.
    for set in ["train", "val", "test", "query", "gallery"] {
        for (name, _, _) in members(folder.path(), set) {
            let path = folder.path().join("64_64_cropped_images").join(set).join(name);
            assert!(path.is_file(), "{}", path.display());
        }
    }
    let first = &json(folder.path(), "train")["annotations"][0];
    assert_eq!((&first["category_id"], &first["bbox"]), (&1.into(), &"".into()));
}

#[test]
fn missing_and_broken_pictures_are_left_out_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    both(folder.path());
    let high = |name: &str| folder.path().join("img_highres").join(name);
    let gone = high("DRESSES/Dress/id_00000002/comsumer_02.jpg");
    fs::remove_file(&gone).unwrap();
    let cut = high("CLOTHING/Blouse/id_00000003/shop_01.jpg");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    // Of this one only the small copy is gone: then its longer side is taken to be 300.
    fs::remove_file(folder.path().join("img/TOPS/T_Shirt/id_00000009/shop_01.jpg")).unwrap();

    let strict = CropOptions { strict: true, ..OPTIONS };
    let error = prepare_deepfashion(folder.path(), strict, &mut go_on).unwrap_err();
    assert_says(&error, &["comsumer_02.jpg", "1 pictures are missing and 1 broken"]);
    assert!(!folder.path().join("train_reid_cropped_64_64.json").exists());

    let report = prepare(folder.path()).unwrap();
    assert_eq!((report.missing, report.kept), (vec![gone.clone()], 7));
    assert_eq!((report.broken.len(), &report.broken[0].path), (1, &cut));
    assert_eq!(members(folder.path(), "train").len(), 1);
    assert_eq!(members(folder.path(), "query").len(), 2);

    // Once they are there, another run completes the set.
    fs::write(&cut, bytes).unwrap();
    write_red_on_blue(&gone, [200, 150], LARGE);
    let report = prepare_deepfashion(folder.path(), strict, &mut go_on).unwrap().unwrap();
    assert_eq!(report.kept, 7);
    assert_eq!(members(folder.path(), "query").len(), 3);
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    for root in [&whole, &parts] {
        both(root);
    }
    prepare(&whole).unwrap();
    let one = CropOptions { threads: 1, ..OPTIONS };
    for after in [1, 3] {
        let stopped = prepare_deepfashion(&parts, one, &mut stop_at("cropping", after)).unwrap();
        assert_eq!(stopped, None);
        assert!(!parts.join("train_reid_cropped_64_64.json").exists());
    }
    prepare(&parts).unwrap();
    assert!(contents(&parts) == contents(&whole));
    assert_eq!(prepare(&parts).unwrap().kept, 9);
    assert!(contents(&parts) == contents(&whole));
}

#[test]
fn pictures_of_another_origin_are_not_taken_for_ours() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), &[("img", [100, 75], SMALL)]);
    prepare(folder.path()).unwrap();
    let before = contents(&folder.path().join("64_64_cropped_images"));
    both(folder.path()); // now the large pictures are there as well
    let error = prepare(folder.path()).unwrap_err();
    assert_says(&error, &["64_64_cropped_images", "remove this folder"]);
    assert!(contents(&folder.path().join("64_64_cropped_images")) == before);
    fs::remove_dir_all(folder.path().join("64_64_cropped_images")).unwrap();
    prepare(folder.path()).unwrap();

    let foreign = folder.path().join("foreign");
    both(&foreign);
    let kept: PathBuf = foreign.join("64_64_cropped_images/train/mine.jpg");
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    fs::write(&kept, "mine").unwrap();
    assert_says(&prepare(&foreign).unwrap_err(), &["64_64_cropped_images", "something else"]);
}

#[test]
fn boxes_are_clipped_and_those_outside_left_out() {
    let folder = tempfile::tempdir().unwrap();
    both(folder.path());
    let path = folder.path().join("Anno/list_bbox_consumer2shop.txt");
    let mut lines: Vec<String> =
        fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    let set = |line: &mut String, corners: &str| {
        *line = line.replace("010 005 026 029", corners);
    };
    set(&mut lines[2], "200 200 300 300"); // outside
    set(&mut lines[3], "26 29 10 5"); // inside out
    set(&mut lines[6], "-50 -50 99999999999999999999 1e30"); // all and more
    fs::write(&path, lines.join("\n")).unwrap();
    let report = prepare(folder.path()).unwrap();
    assert_eq!((report.boxes_left_out, report.broken.len()), (2, 0));
    assert_eq!(members(folder.path(), "train"), []);
    assert_eq!(members(folder.path(), "query").len(), 3);
}

#[test]
fn lists_and_trees_that_are_not_there_or_broken_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_says(&prepare(root).unwrap_err(), &["list_eval_partition.txt", "does not exist"]);
    dataset(root, &[]);
    assert_says(&prepare(root).unwrap_err(), &["img_highres nor img", "unpack"]);
    both(root);
    let partition = root.join("Eval/list_eval_partition.txt");
    let good = fs::read_to_string(&partition).unwrap();
    fs::write(&partition, good.replace("test", "holdout")).unwrap();
    assert_says(&prepare(root).unwrap_err(), &["list_eval_partition.txt", "line 5", "`holdout`"]);
    fs::write(&partition, [0xFF; 300]).unwrap();
    assert_says(&prepare(root).unwrap_err(), &["list_eval_partition.txt", "no entries"]);
    // An item without pictures.
    let more = "img/TOPS/T_Shirt/id_7/a.jpg img/TOPS/T_Shirt/id_7/b.jpg id_7 train\n";
    fs::write(&partition, good + more).unwrap();
    let report = prepare(root).unwrap();
    assert_eq!(report.broken.len(), 1);
    assert!(report.broken[0].reason.contains("id_7"), "{:?}", report.broken);
}
