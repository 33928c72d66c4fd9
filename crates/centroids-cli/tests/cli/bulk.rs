use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use assert_cmd::Command;
use centroids::core::Embeddings;
use serde_json::Value;

use crate::catalogue::{Shared, centroids, everything, pictures};

/// Variables that say which worker a process is.
const VARIABLES: [&str; 7] = [
    "SLURM_ARRAY_TASK_ID",
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "OMPI_COMM_WORLD_RANK",
    "JOB_COMPLETION_INDEX",
    "RANK",
    "WORLD_SIZE",
];

/// A shop of three products and eleven pictures, one of them broken.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Shop {
        let shop = Shop { folder: tempfile::tempdir().unwrap() };
        let pictures = pictures(&Shared::get().catalogue().join("query"));
        for (i, picture) in pictures.iter().take(10).enumerate() {
            let product = shop.path("shop").join(["bag", "hat", "shoe"][i % 3]);
            fs::create_dir_all(&product).unwrap();
            fs::copy(picture, product.join(format!("{i}.png"))).unwrap();
        }
        fs::write(shop.path("shop/hat/broken.jpg"), "no picture").unwrap();
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// `embed` of the shop.
    fn embed(&self, more: &[&str]) -> Command {
        self.embed_of(&self.path("shop"), more)
    }

    fn embed_of(&self, input: &Path, more: &[&str]) -> Command {
        let mut command = centroids(["embed", "--model"]);
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.arg(Shared::get().run()).arg(input).args(more).current_dir(self.folder.path());
        command
    }

    /// One worker of the folder `parts`; what it says as JSON.
    fn work(&self, more: &[&str]) -> Value {
        let mut command = self.embed(&["--out-dir", "parts", "--json"]);
        let output = command.args(more).assert().success().get_output().clone();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// `embed` of a folder of parts.
    fn parts(&self, arguments: &[&str]) -> Command {
        let mut command = centroids(["embed"]);
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// What `--status` prints, and whether it succeeds.
    fn status(&self) -> (Value, bool) {
        let output = self.parts(&["--status", "parts", "--json"]).output().unwrap();
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.success())
    }

    fn merge(&self, out: &str, more: &[&str]) {
        self.parts(&["--merge", "parts", "--out", out]).args(more).assert().success();
    }
}

/// Fails with one line on stderr, apart from notes, that holds all parts.
fn refused(mut command: Command, parts: &[&str]) {
    let output = command.arg("--quiet").assert().code(1).get_output().clone();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}

#[test]
fn parts_of_any_number_of_workers_make_the_file_of_one_process() {
    let shop = Shop::new();
    shop.embed(&["--out", "one.safetensors"]).assert().success();
    shop.embed(&["--out", "means.safetensors", "--centroids"]).assert().success();
    shop.embed(&["--out", "means", "--centroids"]).assert().success();
    for (shards, workers) in [(1, 1), (3, 2), (5, 3), (20, 2)] {
        let shards = shards.to_string();
        for worker in 0..workers {
            // Another batch size gives other neighbours in a pass, but no other vectors.
            let share = format!("{worker}/{workers}");
            shop.work(&["--shards", &shards, "--shard", &share, "--batch-size", "2"]);
        }
        let (status, complete) = shop.status();
        assert!(complete, "{status}");
        assert_eq!((&status["embeddings"], &status["unreadable"]), (&10.into(), &1.into()));
        shop.merge("joined.safetensors", &[]);
        assert_eq!(shop.bytes("joined.safetensors"), shop.bytes("one.safetensors"), "{shards}");
        shop.merge("joined-means.safetensors", &["--centroids"]);
        assert_eq!(shop.bytes("joined-means.safetensors"), shop.bytes("means.safetensors"));
        shop.merge("joined-means", &["--centroids"]);
        for file in ["embeddings.npy", "paths.npy"] {
            let [joined, one] = ["joined-means", "means"].map(|dir| format!("{dir}/{file}"));
            assert_eq!(shop.bytes(&joined), shop.bytes(&one));
        }
        fs::remove_dir_all(shop.path("parts")).unwrap();
    }
}

#[test]
fn a_split_keeps_the_names_of_the_whole_set() {
    let shop = Shop::new();
    let set = Shared::get().catalogue();
    let arguments = ["--split", "gallery", "--shards", "4", "--out-dir", "parts"];
    shop.embed_of(&set, &arguments).assert().success();
    shop.merge("joined.safetensors", &[]);
    let one = fs::read(Shared::get().embeddings("gallery")).unwrap();
    assert_eq!(shop.bytes("joined.safetensors"), one);
}

#[test]
fn only_what_is_not_complete_is_done_again() {
    let shop = Shop::new();
    assert_eq!(
        shop.work(&["--shards", "4", "--shard", "0/2"])["written"],
        serde_json::json!([0, 2])
    );
    let (status, complete) = shop.status();
    assert_eq!((&status["missing"], complete), (&serde_json::json!([1, 3]), false));
    refused(
        shop.parts(&["--merge", "parts", "--out", "x.safetensors"]),
        &["2 of 4", "part 1 is missing"],
    );
    assert!(!shop.path("x.safetensors").exists());

    shop.work(&["--shards", "4"]);
    let whole = shop.bytes("parts/part-00000.safetensors");
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damage: [Damage<'_>; 5] = [
        ("bytes long instead of", &|file| fs::write(file, &whole[..whole.len() - 1]).unwrap()),
        ("have changed", &|file| {
            let mut bytes = whole.clone();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("its file", &|file| fs::remove_file(file).unwrap()),
        ("its note", &|file| fs::write(file.with_extension("json"), "{").unwrap()),
        ("another list", &|file| {
            fs::copy(file.with_file_name("part-00001.json"), file.with_extension("json")).unwrap();
        }),
    ];
    for (reason, damage) in damage {
        damage(&shop.path("parts/part-00000.safetensors"));
        refused(
            shop.parts(&["--merge", "parts", "--out", "x.safetensors"]),
            &["part 0 is damaged", reason],
        );
        assert_eq!(shop.status().0["damaged"], serde_json::json!([0]));
        let again = shop.work(&["--shards", "4"]);
        assert_eq!(again["written"], serde_json::json!([0]), "{reason}");
        assert_eq!(again["skipped"], serde_json::json!([1, 2, 3]));
        assert!(shop.status().1);
    }
}

#[test]
fn files_of_killed_workers_are_removed_when_they_are_old() {
    let shop = Shop::new();
    shop.work(&["--shards", "2"]);
    let before = everything(&shop.path("parts"));
    let [old, new] = ["77-0", "78-0"]
        .map(|worker| shop.path(&format!("parts/.part-00001.safetensors.{worker}.tmp")));
    for file in [&old, &new] {
        fs::write(file, "half").unwrap();
    }
    let hours_ago = SystemTime::now() - Duration::from_secs(2 * 3600);
    File::options().write(true).open(&old).unwrap().set_modified(hours_ago).unwrap();
    assert!(shop.status().1, "they are no parts");
    shop.work(&["--shards", "2"]);
    assert!(!old.exists() && new.exists());
    fs::remove_file(new).unwrap();
    assert_eq!(everything(&shop.path("parts")), before);
}

#[test]
fn two_workers_on_the_same_parts_do_no_harm() {
    let shop = Shop::new();
    shop.embed(&["--out", "one.safetensors"]).assert().success();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| shop.work(&["--shards", "3"]));
        }
    });
    shop.merge("joined.safetensors", &[]);
    assert_eq!(shop.bytes("joined.safetensors"), shop.bytes("one.safetensors"));
}

#[test]
fn other_arguments_do_not_fit_a_folder_that_was_begun() {
    let shop = Shop::new();
    shop.work(&["--shards", "2"]);
    let other = |more: &[&str]| shop.embed(&[&["--out-dir", "parts"], more].concat());
    refused(other(&["--shards", "3"]), &["plan.json", "of 2 parts, not 3", "--out-dir"]);
    refused(other(&["--shards", "2", "--pid-from", "image"]), &["another list of images"]);
    fs::remove_file(shop.path("shop/hat/1.png")).unwrap();
    refused(other(&["--shards", "2"]), &["of 11 images, not 10"]);
    refused(shop.parts(&["--status", "shop"]), &["shop", "no plan.json"]);
    fs::write(shop.path("parts/plan.json"), "{}").unwrap();
    refused(shop.parts(&["--status", "parts"]), &["plan.json", "missing field"]);
}

#[test]
fn the_environment_says_which_worker_this_is() {
    let shop = Shop::new();
    let mut worker = shop.embed(&["--shards", "4", "--out-dir", "parts"]);
    let said = worker.env("RANK", "1").env("WORLD_SIZE", "3").assert().success();
    let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
    assert!(said.contains("worker 1 of 3 (RANK): 1 of 4 parts"), "{said}");
    assert_eq!(shop.status().0["complete"], serde_json::json!([1]));
    let mut torn = shop.embed(&["--shards", "4", "--out-dir", "parts"]);
    torn.env("RANK", "1");
    refused(torn, &["RANK is set", "not WORLD_SIZE", "--shard i/n"]);
    refused(shop.embed(&["--shards", "4", "--out-dir", "parts", "--shard", "4/4"]), &["--shard"]);
}

#[test]
fn strict_leaves_out_no_image_but_the_part() {
    let shop = Shop::new();
    let strict = ["--shards", "2", "--out-dir", "parts", "--strict"];
    refused(shop.embed(&strict), &["1 images of part", "broken.jpg"]);
    let (status, complete) = shop.status();
    assert!(!complete && status["damaged"] == serde_json::json!([]), "{status}");
}

/// Packs the shop's pictures with their products into two archives.
fn pack(shop: &Shop) -> [PathBuf; 2] {
    let files = everything(&shop.path("shop"));
    let files: Vec<PathBuf> = files.into_iter().filter(|file| file.extension().is_some()).collect();
    let mut halves = files.chunks(files.len().div_ceil(2)).map(<[_]>::to_vec);
    ["a.tar", "b.tar"].map(|name| {
        let archive = shop.path(name);
        let mut builder = tar::Builder::new(File::create(&archive).unwrap());
        for file in halves.next().unwrap() {
            builder.append_path_with_name(shop.path("shop").join(&file), &file).unwrap();
            let product = file.parent().unwrap().to_str().unwrap().as_bytes();
            let mut header = tar::Header::new_gnu();
            header.set_size(product.len() as u64);
            builder.append_data(&mut header, file.with_extension("cls"), product).unwrap();
        }
        builder.finish().unwrap();
        archive
    })
}

#[test]
fn archives_give_the_vectors_of_their_files() {
    let shop = Shop::new();
    shop.embed(&["--out", "one.safetensors"]).assert().success();
    let [a, b] = pack(&shop);
    let archives = |more: &[&str]| {
        let mut command = shop.embed_of(&a, more);
        command.arg(&b);
        command
    };
    archives(&["--out", "packed.safetensors"]).assert().success();
    let [one, packed] = ["one", "packed"]
        .map(|name| Embeddings::load(&shop.path(&format!("{name}.safetensors"))).unwrap());
    assert_eq!((packed.values(), packed.pids()), (one.values(), one.pids()));
    assert_eq!(packed.pid_names(), one.pid_names());
    assert!(packed.paths()[0].ends_with("a.tar/bag/0.png"), "{:?}", packed.paths());

    archives(&["--shards", "3", "--out-dir", "parts"]).assert().success();
    shop.merge("joined.safetensors", &[]);
    assert_eq!(shop.bytes("joined.safetensors"), shop.bytes("packed.safetensors"));

    let whole = fs::read(&a).unwrap();
    fs::write(&a, &whole[..whole.len() / 2]).unwrap();
    refused(archives(&["--out", "x.safetensors"]), &["a.tar", "cut off"]);
    let mut search = centroids(["search", "--gallery", "one.safetensors", "--image"]);
    search.arg(&b).arg("--model").arg(Shared::get().run()).current_dir(shop.folder.path());
    refused(search, &["b.tar", "not archives"]);
}

#[test]
fn urls_are_read_where_the_feature_is_on() {
    let shop = Shop::new();
    let mut list = String::new();
    for file in everything(&shop.path("shop")).iter().filter(|file| file.extension().is_some()) {
        let url = format!("file://{}", shop.path("shop").join(file).display());
        list.push_str(&format!("{url}\t{}\n", file.parent().unwrap().display()));
    }
    fs::write(shop.path("urls.txt"), list).unwrap();
    let urls = |more: &[&str]| {
        let mut command = centroids(["embed", "--urls", "urls.txt", "--model"]);
        command.arg(Shared::get().run()).args(more).current_dir(shop.folder.path());
        command
    };
    if !cfg!(feature = "object-store") {
        refused(urls(&["--out", "urls.safetensors"]), &["file:///", "--features object-store"]);
        return;
    }
    shop.embed(&["--out", "one.safetensors"]).assert().success();
    urls(&["--out", "urls.safetensors"]).assert().success();
    let [one, of_urls] = ["one", "urls"]
        .map(|name| Embeddings::load(&shop.path(&format!("{name}.safetensors"))).unwrap());
    assert_eq!((of_urls.values(), of_urls.pids()), (one.values(), one.pids()));
    assert!(of_urls.paths().iter().all(|path| path.starts_with("file:///")));
    urls(&["--shards", "2", "--out-dir", "parts"]).assert().success();
    shop.merge("joined.safetensors", &[]);
    assert_eq!(shop.bytes("joined.safetensors"), shop.bytes("urls.safetensors"));
}
