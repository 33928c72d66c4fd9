//! Weight files as PyTorch writes them, and as nobody should.

use std::path::Path;
use std::time::{Duration, Instant};

use centroids_model::Error;
use centroids_model::weights::StateDict;
use proptest::prelude::*;
use serde_json::Value;

use crate::allocation::peak;
use crate::support::{Section, section_by};

/// Beyond the file's size.
const ALLOWANCE: usize = 64 << 20;

/// Reads within the bounds of time and memory.
fn read(path: &Path) -> Result<StateDict, Error> {
    let start = Instant::now();
    let (result, bytes) = peak(|| StateDict::read(path));
    let most = std::fs::metadata(path).unwrap().len() as usize + ALLOWANCE;
    assert!(bytes <= most, "{}: held {bytes} bytes", path.display());
    assert!(start.elapsed() < Duration::from_secs(3), "{}: too slow", path.display());
    result
}

/// Equal tensors bit for bit.
fn check_good(section: &Section, entry: &Value) {
    let file = entry["file"].as_str().unwrap();
    let found = read(&section.dir.join(file)).unwrap_or_else(|error| panic!("{error}"));
    for key in ["epoch", "global_step"].into_iter().filter(|key| entry.get(key).is_some()) {
        assert_eq!(found.extra()[key], entry[key], "{file}: {key}");
    }
    if let Some(settings) = entry.get("hyper_parameters_expected_if_read") {
        check_settings(&found.extra()["hyper_parameters"], settings);
    }
    if let Some(expected) = entry["expected"].as_str() {
        let expected = StateDict::read(&section.dir.join(expected)).unwrap();
        assert_eq!(found.tensors(), expected.tensors(), "{file}");
    }
}

/// Everything that is expected is there.
fn check_settings(found: &Value, expected: &Value) {
    match expected {
        Value::Object(expected) => {
            expected.iter().for_each(|(key, value)| check_settings(&found[key], value));
        }
        expected => assert_eq!(found, expected),
    }
}

fn check_bad(section: &Section, file: &str) {
    let error = read(&section.dir.join(file)).err().unwrap_or_else(|| panic!("{file} was read"));
    let message = error.to_string();
    assert!(message.contains(file) && message.lines().count() == 1, "{message}");
    if file.starts_with("evil_") {
        assert!(message.contains("nothing was run"), "{message}");
    }
    if file == "whole_module.pth" {
        assert!(message.contains("whole model"), "{message}");
    }
}

#[test]
fn good_files_are_read_and_all_others_refused() {
    let Some(section) = section_by("checkpoints", "expected.json") else {
        return;
    };
    for entry in section.entries() {
        let file = entry["file"].as_str().unwrap();
        match entry["outcome"].as_str().unwrap() {
            "ok" => check_good(&section, entry),
            "error" => check_bad(&section, file),
            _ => {
                let _ = read(&section.dir.join(file)); // either, within the bounds
            }
        }
    }
    for marker in ["GOLDEN_MARKER", "../GOLDEN_MARKER"] {
        assert!(!Path::new(marker).exists(), "{marker}");
    }
}

#[test]
fn published_files_are_read() {
    let Some(section) = section_by("checkpoints", "expected.json") else {
        return;
    };
    let weights = section.dir.join("../../weights");
    for (file, tensors, name, shape) in [
        ("mobilenet_v2-b0353104.pth", 314, "features.0.0.weight", &[32, 3, 3, 3][..]),
        ("resnet20-12fca82f.th", 97, "module.layer3.2.conv2.weight", &[64, 64, 3, 3]),
    ] {
        let path = weights.join(file);
        if !path.is_file() {
            eprintln!("skipped: weights not found at {}", path.display());
            continue;
        }
        let found = read(&path).unwrap();
        assert_eq!(found.tensors().len(), tensors, "{file}");
        assert_eq!(found.tensors()[name].shape, shape, "{file}");
    }
}

/// Short instructions that make large things, were they followed.
#[test]
fn bombs_stay_within_the_bounds() {
    let pairs = [&b"]("[..], &b"NN\x86".repeat(100_000), b"e\x85q\0"].concat();
    let copies = [&b"ccollections\nOrderedDict\nq\x01"[..], &b"h\x01h\0R".repeat(100_000)].concat();
    let sizes = [&b"("[..], &b"K\x01".repeat(200_000), b"tq\0"].concat();
    let bombs = [
        b"N".repeat(4 << 20),
        b"(".repeat(4 << 20),
        b"]q\0".repeat(4 << 20),
        b"Nr\xff\xff\xff\xff".repeat(1 << 20),
        b"N\x94".repeat(4 << 20),
        [pairs, copies].concat(),
        [&sizes[..], &b"h\0\x85".repeat(1 << 20)].concat(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.pth");
    for bomb in bombs {
        std::fs::write(&path, [&b"\x80\x02"[..], &bomb].concat()).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("longer table of contents"), "{error}");
    }
}

/// Short headers of safetensors files that make large things.
#[test]
fn headers_stay_within_the_bounds() {
    let entry = |name: &str, more: &str| {
        format!(r#""{name}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]{more}}}"#)
    };
    let ones = "1,".repeat(4 << 20);
    let texts = (0..500_000).map(|i| format!(r#""{i}":"","#)).collect::<String>();
    let names = (0..200_000).map(|i| format!("{},", entry(&i.to_string(), ""))).collect::<String>();
    let long =
        (0..8000).map(|i| format!("{},", entry(&format!("{i:01900}"), ""))).collect::<String>();
    let last = entry("w", "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("header.safetensors");
    for header in [
        format!(r#"{{"w":{{"dtype":"U8","shape":[{ones}1],"data_offsets":[0,1]}}}}"#),
        format!("{{{}}}", entry("w", &format!(r#","junk":[{ones}1]"#))),
        format!(r#"{{"__metadata__":{{{texts}"a":""}},{last}}}"#),
        format!(r#"{{"__metadata__":{{"a":"{}"}},{last}}}"#, "x".repeat(15 << 20)),
        format!("{{{names}{last}}}"),
        format!("{{{long}{last}}}"),
    ] {
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        std::fs::write(&path, file).unwrap();
        let _ = read(&path);
    }
}

#[test]
fn damaged_files_stay_within_the_bounds() {
    let Some(section) = section_by("checkpoints", "expected.json") else {
        return;
    };
    let good = [
        "zip_state_dict.pth",
        "zip_deflated.pth",
        "dtypes_views_legacy.pth",
        "lightning_like.ckpt",
        "lightning_like_legacy.ckpt",
        "expected_lightning_like.safetensors",
    ];
    let good = good.map(|file| std::fs::read(section.dir.join(file)).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let damage = (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..9));
    proptest!(|(file in 0..good.len(), damages in prop::collection::vec(damage, 1..5))| {
        let mut bytes = good[file].clone();
        for (at, new) in damages {
            let at = at.index(bytes.len() - new.len());
            bytes[at..][..new.len()].copy_from_slice(&new);
        }
        std::fs::write(&path, bytes).unwrap();
        if let Ok(file) = read(&path) {
            let _ = file.identity();
        }
    });
}
