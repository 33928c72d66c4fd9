use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use centroids_core::embedding_file::FORMAT;
use centroids_core::{
    CamId, CameraRule, Embeddings, Metric, NpyValues, Pid, Unit, evaluate, write_npy,
};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};

fn sets() -> impl Strategy<Value = Embeddings> {
    (1_usize..5).prop_flat_map(|dim| {
        let camera = prop::option::of(any::<u32>());
        let vector = prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, dim);
        let image = (any::<i64>(), camera, vector, "[^\0]*");
        let text = (any::<String>(), any::<bool>(), any::<Option<String>>());
        (prop::collection::vec(image, 0..9), text).prop_map(move |(images, text)| {
            let (model, normalized, name) = text;
            let pids: Vec<Pid> = images.iter().map(|image| Pid(image.0)).collect();
            let names = pids.iter().filter_map(|pid| Some((*pid, name.clone()?))).collect();
            let camids = images.iter().map(|image| image.1.map(CamId)).collect();
            let paths = images.iter().map(|image| image.3.clone()).collect();
            let values = images.into_iter().flat_map(|image| image.2).collect();
            let set = Embeddings::new(dim, values, pids, camids, paths).unwrap();
            set.with_model_path(format!("/runs/{model}"))
                .with_model(model)
                .with_normalized(normalized)
                .with_pid_names(names)
        })
    })
}

proptest! {
    // Every case waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn safetensors_keep_everything(set in sets()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.safetensors");
        set.save(&path).unwrap();
        prop_assert_eq!(&Embeddings::load(&path).unwrap(), &set);

        let bytes = fs::read(&path).unwrap();
        set.save(&path).unwrap();
        prop_assert_eq!(&fs::read(&path).unwrap(), &bytes, "the same bytes every time");
        let other_reader = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let values = other_reader.tensor("embeddings").unwrap();
        prop_assert_eq!(values.shape(), [set.len(), set.dim()]);
    }

    #[test]
    fn npy_pairs_keep_vectors_and_paths(set in sets()) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["embeddings.npy", "other.npy"] {
            let path = folder.path().join(name);
            set.save(&path).unwrap();
            let loaded = Embeddings::load(&path).unwrap();
            prop_assert_eq!(loaded.values(), set.values());
            prop_assert_eq!(loaded.paths(), set.paths());
        }
        prop_assert!(folder.path().join("paths.npy").exists());
        prop_assert!(folder.path().join("other_paths.npy").exists());
    }

    /// Damage anywhere gives an error or a sound set, never a panic.
    #[test]
    fn damaged_files_never_panic(
        set in sets(), extension in prop::sample::select(&["safetensors", "npy"][..]),
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("embeddings").with_extension(extension);
        set.save(&path).unwrap();
        for name in ["embeddings.safetensors", "embeddings.npy", "paths.npy"] {
            let file = folder.path().join(name);
            let Ok(mut bytes) = fs::read(&file) else { continue };
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            fs::write(&file, &bytes).unwrap();
            let _ = Embeddings::load(&path);
        }
    }
}

/// A file of the first version, kept as it was written then.
#[test]
fn files_of_version_1_are_read() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/core/embeddings_v1.safetensors");
    assert_eq!(Embeddings::load(Path::new(file)).unwrap(), version_1_set());
}

fn version_1_set() -> Embeddings {
    Embeddings::new(
        3,
        vec![0.5, -1.0, 2.25, 1.0, 0.0, -0.125],
        vec![Pid(12), Pid(-1)],
        vec![Some(CamId(3)), None],
        vec!["shoe/é 1.jpg".to_owned(), "junk/2.jpg".to_owned()],
    )
    .unwrap()
    .with_model("resnet18-demo".to_owned())
    .with_normalized(true)
    .with_pid_names(BTreeMap::from([(Pid(12), "shoe".to_owned())]))
}

#[test]
fn files_that_are_not_there_name_themselves() {
    let message = load_error(Path::new("/nowhere/gallery.safetensors"));
    assert_eq!(message, "cannot read /nowhere/gallery.safetensors");
    let error = version_1_set().save(Path::new("/nowhere/gallery.npy")).unwrap_err();
    assert_eq!(error.to_string(), "cannot write /nowhere/gallery.npy");
    let message = load_error(Path::new("gallery.parquet"));
    assert!(message.starts_with("gallery.parquet: embedding files end in .safetensors or .npy"));
}

#[test]
fn sets_of_other_dimensions_are_not_compared() {
    let set = version_1_set();
    let narrow = Embeddings::new(2, vec![], vec![], vec![], vec![]).unwrap();
    let error = evaluate(&set, &narrow, Unit::Nearest, CameraRule::Any, &Metric::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "query has 3 dimensions but gallery has 2: embed both with the same model"
    );
}

fn load_error(path: &Path) -> String {
    Embeddings::load(path).unwrap_err().to_string()
}

/// The parts of a safetensors file of two embeddings, to be spoilt.
struct Parts {
    tensors: BTreeMap<&'static str, (Dtype, Vec<usize>, Vec<u8>)>,
    texts: HashMap<String, String>,
}

impl Parts {
    fn sound() -> Self {
        let floats = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let longs = |values: [i64; 2]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let text = |key: &str, text: &str| (key.to_owned(), text.to_owned());
        Self {
            tensors: BTreeMap::from([
                ("embeddings", (Dtype::F32, vec![2, 2], floats)),
                ("pids", (Dtype::I64, vec![2], longs([5, 6]))),
                ("camids", (Dtype::I64, vec![2], longs([0, -1]))),
            ]),
            texts: [text("format", FORMAT), text("paths", r#"["a.jpg","b.jpg"]"#)].into(),
        }
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("set.safetensors");
        let views = self.tensors.iter().map(|(name, (dtype, shape, data))| {
            (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        let bytes = safetensors::serialize(views, Some(self.texts.clone())).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Spoils a sound file and expects the message to name the file and say the given things.
fn assert_refused(spoil: impl FnOnce(&mut Parts), says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Parts::sound();
    spoil(&mut parts);
    let path = parts.write(folder.path());
    let message = load_error(&path);
    assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
    for said in says {
        assert!(message.contains(said), "`{said}` in: {message}");
    }
}

#[test]
fn the_smallest_sound_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let set = Embeddings::load(&Parts::sound().write(folder.path())).unwrap();
    assert_eq!(set.camids(), [Some(CamId(0)), None]);
    assert_eq!((set.model(), set.normalized()), ("", false));
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let put = |value: f32| {
        move |parts: &mut Parts| {
            let data = &mut parts.tensors.get_mut("embeddings").unwrap().2;
            data[8..12].copy_from_slice(&value.to_le_bytes());
        }
    };
    assert_refused(put(f32::NAN), &["embedding 1 (b.jpg) holds NaN in dimension 0"]);
    assert_refused(put(f32::NEG_INFINITY), &["embedding 1 (b.jpg) holds -inf"]);
}

#[test]
fn files_for_another_purpose_are_refused() {
    let format = |format: &'static str| {
        move |parts: &mut Parts| {
            parts.texts.insert("format".to_owned(), format.to_owned());
        }
    };
    assert_refused(|parts| parts.texts.clear(), &["no embedding file", FORMAT]);
    assert_refused(format("pt"), &["format `pt` is not an embedding file's"]);
    assert_refused(format("centroids.embeddings.v2"), &["newer version", "upgrade"]);
    assert_refused(format("centroids.embeddings.v0"), &["too old", "again"]);
}

#[test]
fn missing_parts_are_named() {
    for tensor in ["embeddings", "pids", "camids"] {
        let remove = |parts: &mut Parts| {
            parts.tensors.remove(tensor);
        };
        assert_refused(remove, &[&format!("tensor `{tensor}` is missing")]);
    }
    let remove = |parts: &mut Parts| {
        parts.texts.remove("paths");
    };
    assert_refused(remove, &["metadata `paths` is missing"]);
}

#[test]
fn wrong_types_and_shapes_are_named() {
    let change = |name: &'static str, dtype: Dtype, shape: &'static [usize], bytes: usize| {
        move |parts: &mut Parts| {
            parts.tensors.insert(name, (dtype, shape.to_vec(), vec![0; bytes]));
        }
    };
    let float16 = change("embeddings", Dtype::F16, &[2, 2], 8);
    assert_refused(float16, &["`embeddings` has type F16 instead of F32"]);
    let int32 = change("pids", Dtype::I32, &[2], 8);
    assert_refused(int32, &["`pids` has type I32 instead of I64"]);
    let cube = change("embeddings", Dtype::F32, &[2, 1, 2], 16);
    assert_refused(cube, &["`embeddings` has shape [2, 1, 2] instead of [n, d]"]);
    let three = change("camids", Dtype::I64, &[3], 24);
    assert_refused(three, &["`camids` has shape [3] instead of [2]"]);
    let flat = change("embeddings", Dtype::F32, &[2, 0], 0);
    assert_refused(flat, &["embeddings have 0 dimensions"]);
}

#[test]
fn wrong_metadata_is_named() {
    let put = |key: &'static str, text: &'static str| {
        move |parts: &mut Parts| {
            parts.texts.insert(key.to_owned(), text.to_owned());
        }
    };
    assert_refused(put("paths", "a.jpg"), &["metadata `paths` is not a JSON array"]);
    assert_refused(put("paths", r#"["a.jpg"]"#), &["`paths` has 1 entries for 2 embeddings"]);
    assert_refused(
        put("normalized", "perhaps"),
        &["metadata `normalized` is not `true` or `false`"],
    );
    assert_refused(
        put("pid_names", r#"{"x":"y"}"#),
        &["metadata `pid_names` is not a JSON object"],
    );
    let camera = |parts: &mut Parts| parts.tensors.get_mut("camids").unwrap().2[..8].fill(0xfe);
    assert_refused(camera, &["`camids` holds", "row 0"]);
}

/// Writes bytes that are no sound file of their kind and gives the message.
fn message_for(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let message = load_error(&path);
    message.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
}

#[test]
fn files_that_are_no_safetensors_are_refused() {
    let message = |bytes: &[u8]| message_for("set.safetensors", bytes);
    assert!(message(b"").starts_with("not a safetensors file (it is empty)"));
    assert!(message(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").starts_with("not a safetensors file"));
    assert!(message(b"{\"paths\": []}").starts_with("not a safetensors file"));
    assert!(message(b"\x04\0\0\0\0\0\0\0{{{{").starts_with("not a safetensors file"));
    assert!(message(b"\xff\xff\xff\xff\xff\xff\xff\x7f{").starts_with("not a safetensors file"));
}

#[test]
fn cut_and_prolonged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.safetensors");
    version_1_set().save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in [30, bytes.len() - 1] {
        let message = message_for("set.safetensors", &bytes[..length]);
        assert!(message.starts_with(&format!("{length} bytes long")), "{message}");
        assert!(message.contains("truncated"), "{message}");
    }
    let message = message_for("set.safetensors", &[&bytes[..], b"?"].concat());
    assert!(message.contains("something was appended"), "{message}");
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn npy_files_of_another_kind_are_refused() {
    let message = |bytes: &[u8]| message_for("embeddings.npy", bytes);
    assert!(message(b"").starts_with("not a .npy file"));
    assert!(message(b"PK\x03\x04").starts_with("not a .npy file"));
    assert!(message(&npy("<f8", "(1, 1)", &[0; 8])).contains("has type '<f8' instead of '<f4'"));
    assert!(message(&npy("|O", "(1,)", b"\x80\x04N.")).starts_with("holds pickled Python objects"));
    assert!(message(&npy("<f4", "(4,)", &[0; 16])).contains("has shape [4] instead of [n, d]"));
    assert!(message(&npy("<f4", "(2, 2)", &[0; 15])).contains("truncated"));
    assert!(message(&npy("<f4", "(4000000000000, 4000000000000)", &[])).contains("truncated"));
    assert!(
        message(&npy("<f4", "(1, 1)", &[0; 4])).contains("paths.npy: put the paths file beside it")
    );
}

#[test]
fn a_folder_stands_for_the_embeddings_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let message = load_error(folder.path());
    assert!(message.contains("a folder without embeddings.npy"), "{message}");
    version_1_set().save(&folder.path().join("embeddings.npy")).unwrap();
    assert_eq!(Embeddings::load(folder.path()).unwrap().values(), version_1_set().values());
}

#[test]
fn arrays_of_numbers_and_texts_have_numpy_s_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |values: NpyValues<'_>, shape: &[usize]| {
        let file = folder.path().join("array.npy");
        write_npy(&file, values, shape).unwrap();
        let bytes = fs::read(file).unwrap();
        let header = String::from_utf8_lossy(&bytes[10..128]).trim_end().to_owned();
        (header, bytes[128..].to_vec())
    };
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
    };
    let (said, data) = bytes(NpyValues::I64(&[1, -2]), &[1, 2]);
    assert_eq!(said, header("<i8", "(1, 2)"));
    assert_eq!(data, [1_i64.to_le_bytes(), (-2_i64).to_le_bytes()].concat());
    let (said, data) = bytes(NpyValues::F32(&[0.5]), &[1]);
    assert_eq!((said, data), (header("<f4", "(1,)"), 0.5_f32.to_le_bytes().to_vec()));
    let (said, data) = bytes(NpyValues::Text(&["a", "né"]), &[2, 1]);
    assert_eq!(said, header("<U2", "(2, 1)"));
    let codes = [0x61, 0, 0x6e, 0xe9_u32];
    assert_eq!(data, codes.map(u32::to_le_bytes).concat());
}

#[test]
fn npy_paths_of_another_kind_name_the_paths_file() {
    let error = |paths: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("embeddings.npy"), npy("<f4", "(1, 1)", &[0; 4])).unwrap();
        fs::write(folder.path().join("paths.npy"), paths).unwrap();
        load_error(&folder.path().join("embeddings.npy"))
    };
    let message = error(&npy("|O", "(1,)", b"\x80\x04N."));
    assert!(message.contains("paths.npy: holds pickled Python objects"), "{message}");
    let message = error(&npy("<U0", "(9000000000000000000,)", b""));
    assert!(message.contains("paths.npy: `paths` has type '<U0'"), "{message}");
    let message = error(&npy("<U1", "(1,)", &[0, 0xd8, 0, 0]));
    assert!(message.contains("paths.npy: entry 0 is not Unicode text"), "{message}");
    let message = error(&npy("<U1", "(2,)", &[0; 8]));
    assert!(
        message.contains("embeddings.npy: `paths` has 2 entries for 1 embeddings"),
        "{message}"
    );
}
