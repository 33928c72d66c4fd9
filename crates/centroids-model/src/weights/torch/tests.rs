use std::io::Write;

use proptest::prelude::*;
use rawzip::CompressionMethod;
use safetensors::Dtype;

use super::*;

/// A pickled text.
fn text(text: &str) -> Vec<u8> {
    [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

/// A pickled name, unpickled to what has that name in Python.
fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn long(value: i64) -> Vec<u8> {
    [b"\x8a\x08", value.to_le_bytes().as_slice()].concat()
}

fn tuple(items: &[i64]) -> Vec<u8> {
    let items: Vec<Vec<u8>> = items.iter().map(|&item| long(item)).collect();
    [b"(", items.concat().as_slice(), b"t"].concat()
}

/// What a pickled tensor says about itself.
#[derive(Clone)]
struct Said<'a> {
    storage: &'a str,
    len: i64,
    offset: i64,
    shape: &'a [i64],
    strides: &'a [i64],
}

/// Six numbers as two rows.
const TWO_ROWS: Said<'_> =
    Said { storage: "FloatStorage", len: 6, offset: 0, shape: &[2, 3], strides: &[3, 1] };

fn tensor(said: &Said<'_>) -> Vec<u8> {
    let kind = global("torch", said.storage);
    [
        &global("torch._utils", "_rebuild_tensor_v2"),
        &b"(("[..],
        &text("storage"),
        &kind,
        &text("0"),
        &text("cpu"),
        &long(said.len),
        b"tQ",
        &long(said.offset),
        &tuple(said.shape),
        &tuple(said.strides),
        b"\x89",
        &global("collections", "OrderedDict"),
        b")RtR",
    ]
    .concat()
}

/// A dictionary of one entry.
fn dict(name: &str, value: &[u8]) -> Vec<u8> {
    [&b"}"[..], &text(name), value, b"s"].concat()
}

fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

fn numbers(count: u8) -> Vec<u8> {
    (0..count).flat_map(|i| f32::from(i).to_le_bytes()).collect()
}

fn zip(value: &[u8], storage: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut file = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut file);
    for (name, bytes) in [("x/data.pkl", pickle(value).as_slice()), ("x/data/0", storage)] {
        let (mut entry, config) =
            archive.new_file(name).compression_method(method).start().unwrap();
        let descriptor = if method == CompressionMethod::DEFLATE {
            let packer = flate2::write::DeflateEncoder::new(&mut entry, Default::default());
            let mut writer = config.wrap(packer);
            writer.write_all(bytes).unwrap();
            let (packer, descriptor) = writer.finish().unwrap();
            packer.finish().unwrap();
            descriptor
        } else {
            let mut writer = config.wrap(&mut entry);
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap().1
        };
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    file
}

fn stream(value: &[u8], len: i64, storage: &[u8]) -> Vec<u8> {
    let magic = 0x1950_a86a_20f9_469c_fc6c_u128.to_le_bytes();
    let machine = dict("little_endian", b"\x88");
    let keys = [&b"]"[..], &text("0"), b"a"].concat();
    [
        &pickle(&[b"\x8a\x0a", &magic[..10]].concat()),
        &pickle(b"M\xe9\x03")[..],
        &pickle(&machine),
        &pickle(value),
        &pickle(&keys),
        &len.to_le_bytes(),
        storage,
    ]
    .concat()
}

/// The oldest container, with one tensor under the key 7 on a storage under the key 9.
fn tar(value: &[u8], said: &Said<'_>, storage: &[u8]) -> Vec<u8> {
    let about = |key: i64, second: &[u8], name: &str| {
        pickle(&[&long(key), second, &global("torch", name), b"\x87"].concat())
    };
    let numbers: Vec<u8> = said
        .shape
        .iter()
        .chain(said.strides)
        .chain([&said.offset])
        .flat_map(|number| number.to_le_bytes())
        .collect();
    let rank = (said.shape.len() as u64).to_le_bytes();
    let of_tensor = about(7, &long(9), "FloatTensor");
    let tensors = [&pickle(b"K\x01"), &of_tensor, &rank[..], &numbers].concat();
    let of_storage = about(9, &text("cpu"), said.storage);
    let len = said.len.to_le_bytes();
    let storages = [&pickle(b"K\x01"), &of_storage, &len[..], storage, &pickle(b"]")].concat();
    let machine = pickle(&dict("little_endian", b"\x88"));
    let members = [
        ("sys_info", &machine),
        ("pickle", &pickle(value)),
        ("tensors", &tensors),
        ("storages", &storages),
    ];
    let file = members.map(|(name, content)| member(name, content)).concat();
    [file, vec![0; 1024]].concat()
}

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
    [&header, content, &padding].concat()
}

/// The one tensor of a [`tar`], called `w`.
fn by_key() -> Vec<u8> {
    dict("w", &[&text("7"), &b"Q"[..]].concat())
}

/// The same in every container.
fn containers(value: &[u8]) -> [Vec<u8>; 3] {
    let storage = numbers(6);
    [
        zip(value, &storage, CompressionMethod::STORE),
        zip(value, &storage, CompressionMethod::DEFLATE),
        stream(value, 6, &storage),
    ]
}

fn open(file: &[u8]) -> Result<Contents, String> {
    super::read(file).unwrap_or(Err("foreign".to_owned()))
}

fn read(file: &[u8]) -> Result<BTreeMap<String, RawTensor>, String> {
    open(file).map(|contents| contents.tensors)
}

/// Every container is refused; the error of the archive.
fn refused(value: &[u8]) -> String {
    let [archive, deflated, stream] = containers(value).map(|file| read(&file).unwrap_err());
    assert_eq!(archive, deflated);
    // In a stream the storages are gone through before the dictionary is.
    assert!(archive == stream || stream == "has a storage that no tensor uses", "{stream}");
    archive
}

fn values(tensor: &RawTensor) -> Vec<f32> {
    tensor.to_array().unwrap().values
}

#[test]
fn a_tensor_is_read_from_every_container() {
    for file in containers(&dict("w", &tensor(&TWO_ROWS))) {
        let tensors = read(&file).unwrap();
        let w = &tensors["w"];
        assert_eq!((tensors.len(), w.dtype, &w.shape[..]), (1, Dtype::F32, &[2, 3][..]));
        assert_eq!(values(w), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}

#[test]
fn views_are_gathered() {
    let seen = |offset, shape: &[i64], strides: &[i64]| {
        let value = dict("w", &tensor(&Said { offset, shape, strides, ..TWO_ROWS }));
        values(&read(&stream(&value, 6, &numbers(6))).unwrap()["w"])
    };
    assert_eq!(seen(0, &[3, 2], &[1, 3]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(seen(1, &[2], &[3]), [1.0, 4.0]);
    assert_eq!(seen(5, &[2, 2], &[0, 0]), [5.0; 4]);
    assert_eq!(seen(4, &[], &[]), [4.0]);
    assert!(seen(0, &[0, 7], &[9, 9]).is_empty());
}

#[test]
fn wrappers_are_opened() {
    let inner = dict("w", &tensor(&TWO_ROWS));
    let parameter =
        [&global("torch._utils", "_rebuild_parameter"), &b"("[..], &tensor(&TWO_ROWS), b"\x88}tR"]
            .concat();
    let old_parameter = [
        &global("torch.nn.parameter", "Parameter"),
        &b"("[..],
        &tensor(&TWO_ROWS),
        b"tR(\x88\x89Ntb",
    ]
    .concat();
    let old_parameter = dict("w", &old_parameter);
    let pair = [&b"]("[..], &text("w"), &tensor(&TWO_ROWS), b"e"].concat();
    let of_python2 = [&global("collections", "OrderedDict"), &b"(]"[..], &pair, b"atR"].concat();
    let parameter = dict("w", &parameter);
    for value in [dict("state_dict", &inner), parameter, old_parameter, of_python2] {
        for file in containers(&value) {
            assert_eq!(values(&read(&file).unwrap()["w"]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        }
    }
}

#[test]
fn names_that_are_no_part_of_tensors_are_refused_and_named() {
    let names = [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("__main__", "Net")];
    for (module, name) in names {
        let (named, argument) = (global(module, name), text("touch GOLDEN_MARKER"));
        let called = [&named, &b"("[..], &argument, b"tR"].concat();
        let stacked = [&text(module), &text(name)[..], b"\x93"].concat();
        for evil in [&named, &called, &stacked] {
            for value in [evil.clone(), dict("w", evil), dict("state_dict", &dict("w", evil))] {
                let error = refused(&value);
                assert!(error.contains(&format!("`{module}.{name}`")), "{error}");
                assert!(error.contains("nothing was run"), "{error}");
            }
        }
    }
    let error = refused(&global("a\u{1b}[2J", &"b".repeat(1000)));
    assert!(error.len() < 400 && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn instructions_that_make_objects_are_refused() {
    for code in [&b"0"[..], b"i", b"o", b"\x92", b"\x82\x01", b"P0\n", b"\xff"] {
        assert!(refused(code).contains("pickle instruction"), "{code:?}");
    }
    assert!(refused(b"NN}b").contains("state of None"));
    assert!(refused(b"N)\x81").contains("an object of None"));
    assert!(refused(b"N)R").contains("calls None"));
}

/// What PyTorch-Lightning writes, with `inside` among the settings.
fn lightning(inside: &[u8]) -> Vec<u8> {
    let entry = |key: &str, value: &[u8]| [&text(key), value].concat();
    let class = global("vanished.config", "Node");
    let node = |entries: &[Vec<u8>]| {
        [&class, &b")\x81("[..], &entries.concat(), b"u}", &text("frozen"), b"\x88sb"].concat()
    };
    let counter = [&global("collections", "Counter"), &b"}K\x28K\x01s\x85R"[..]].concat();
    let scalar =
        [&global("numpy", "dtype"), &b"("[..], &text("f8"), b"\x89\x88tR(K\x03", &text("<"), b"tb"];
    let scalar =
        [&global("numpy.core.multiarray", "scalar"), &b"("[..], &scalar.concat(), b"C\x01\x00tR"];
    let model = node(&[entry("NAME", &text("resnet50")), entry("LAST_STRIDE", b"K\x01")]);
    let input =
        node(&[entry("SIZE_TEST", b"(K\x40K\x20t"), entry("PROB", b"G\x3f\xe0\0\0\0\0\0\0")]);
    let callback = [&b"}"[..], &global("vanished", "Saver"), &scalar.concat(), b"s"].concat();
    let entries = [
        entry("epoch", b"K\x78"),
        entry("callbacks", &callback),
        entry("lr_schedulers", &[&b"]"[..], &counter, b"a"].concat()),
        entry("state_dict", &dict("w", &tensor(&TWO_ROWS))),
        entry("hyper_parameters", &node(&[entry("MODEL", &model), entry("INPUT", &input)])),
        entry("inside", inside),
    ];
    [&b"}("[..], &entries.concat(), b"u"].concat()
}

#[test]
fn what_a_trainer_keeps_beside_the_weights_is_let_pass() {
    for file in containers(&lightning(b"N")) {
        let contents = open(&file).unwrap();
        assert_eq!(values(&contents.tensors["w"]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(contents.extra["epoch"], 120);
        assert!(!contents.extra.contains_key("callbacks"));
        let settings = &contents.extra["hyper_parameters"];
        assert_eq!(settings["MODEL"]["NAME"], "resnet50");
        assert_eq!(settings["INPUT"]["SIZE_TEST"], serde_json::json!([64, 32]));
        assert_eq!(settings["INPUT"]["PROB"], 0.5);
    }
    for (module, name) in [("os", "system"), ("builtins", "eval"), ("builtins", "getattr")] {
        let call = [&global(module, name), &b"("[..], &text("touch GOLDEN_MARKER"), b"tR"].concat();
        let error = refused(&lightning(&call));
        assert!(error.contains(name) && error.contains("nothing was run"), "{error}");
    }
}

#[test]
fn settings_without_end_are_cut() {
    let settings = |value: &[u8]| {
        let entries = [&text("hyper_parameters"), value].concat();
        let state = [&text("state_dict"), &dict("w", &tensor(&TWO_ROWS))[..]].concat();
        let file = [&b"}("[..], &entries, &state, b"u"].concat();
        open(&stream(&file, 6, &numbers(6))).unwrap().extra["hyper_parameters"].to_string()
    };
    let doubled = [&b"]"[..], &b"q\0(h\0h\0t".repeat(64)].concat();
    assert!(settings(&doubled).len() < 1 << 17);
    assert_eq!(settings(b"]q\0h\0a"), format!("{}null{}", "[".repeat(16), "]".repeat(16)));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let big = i64::MAX / 2;
    let cases = [
        Said { len: big, ..TWO_ROWS },
        Said { len: -1, ..TWO_ROWS },
        Said { len: 5, ..TWO_ROWS },
        Said { offset: 1, ..TWO_ROWS },
        Said { offset: -1, ..TWO_ROWS },
        Said { shape: &[-2, 3], ..TWO_ROWS },
        Said { strides: &[-3, 1], ..TWO_ROWS },
        Said { strides: &[4, 1], ..TWO_ROWS },
        Said { strides: &[1], ..TWO_ROWS },
        Said { strides: &[i64::MAX, 1], ..TWO_ROWS },
        Said { shape: &[1 << 20, 1 << 20], strides: &[0, 0], ..TWO_ROWS },
        Said { shape: &[1 << 33, 1 << 33], strides: &[0, 0], ..TWO_ROWS },
        Said { storage: "DoubleStorage", ..TWO_ROWS },
        Said { storage: "HalfStorage", ..TWO_ROWS },
        Said { storage: "QInt8Storage", ..TWO_ROWS },
    ];
    for said in cases {
        for file in containers(&dict("w", &tensor(&said))) {
            assert!(read(&file).is_err(), "{:?} {:?}", said.shape, said.strides);
        }
    }
    let good = dict("w", &tensor(&TWO_ROWS));
    for len in [-6, 0, 5, 7, big] {
        assert!(read(&stream(&good, len, &numbers(6))).is_err(), "{len}");
    }
    for storage in [numbers(5), numbers(7), vec![]] {
        for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
            assert!(read(&zip(&good, &storage, method)).is_err());
        }
    }
}

#[test]
fn bombs_are_defused() {
    let deep = [b"]".repeat(100_000), b"a".repeat(99_999)].concat();
    assert!(refused(&deep).contains("no dictionary"));
    assert!(refused(b"]q\0h\0a").contains("no dictionary"), "a list that holds itself");
    let doubled = [&b"]"[..], &b"q\0(h\0h\0t".repeat(64)].concat();
    assert!(refused(&doubled).contains("no dictionary"));
    assert!(refused(&b"N".repeat(1 << 21)).contains("longer table of contents"));
    assert!(refused(b"X\xff\xff\xff\xff").contains("ends too early"));
    let inflated = zip(&b"N".repeat(20 << 20), &[], CompressionMethod::DEFLATE);
    assert!(inflated.len() < 1 << 20 && read(&inflated).unwrap_err().contains("too long"));
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    for file in containers(&dict("w", &tensor(&TWO_ROWS))) {
        for len in 0..file.len() {
            assert!(read(&file[..len]).is_err(), "{len} of {}", file.len());
        }
    }
}

#[test]
fn a_flipped_bit_of_an_archive_is_noticed() {
    let file = zip(&dict("w", &tensor(&TWO_ROWS)), &numbers(6), CompressionMethod::STORE);
    let at = file.windows(24).position(|window| window == numbers(6)).unwrap();
    for byte in at..at + 24 {
        let mut flipped = file.clone();
        flipped[byte] ^= 4;
        assert!(read(&flipped).unwrap_err().contains("data/0"), "{byte}");
    }
}

#[test]
fn the_oldest_container_is_read() {
    let read = |said: Said<'_>| read(&tar(&by_key(), &said, &numbers(6)));
    assert_eq!(values(&read(TWO_ROWS).unwrap()["w"]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let transposed = Said { shape: &[3, 2], strides: &[1, 3], ..TWO_ROWS };
    assert_eq!(values(&read(transposed).unwrap()["w"]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    for wrong in [
        Said { len: i64::MAX / 2, ..TWO_ROWS },
        Said { len: -1, ..TWO_ROWS },
        Said { len: 5, ..TWO_ROWS },
        Said { offset: 1, ..TWO_ROWS },
        Said { shape: &[-2, 3], ..TWO_ROWS },
        Said { strides: &[i64::MAX, 1], ..TWO_ROWS },
        Said { storage: "DoubleStorage", ..TWO_ROWS },
    ] {
        assert!(read(wrong).is_err());
    }
}

#[test]
fn the_oldest_container_is_as_strict() {
    let file = tar(&by_key(), &TWO_ROWS, &numbers(6));
    let end = file.iter().rposition(|&byte| byte != 0).unwrap(); // padding may be cut
    for len in 0..=end {
        assert!(read(&file[..len]).is_err(), "{len}");
    }
    let evil = [&global("os", "system"), &b"("[..], &text("touch GOLDEN_MARKER"), b"tR"].concat();
    let error = read(&tar(&dict("w", &evil), &TWO_ROWS, &numbers(6))).unwrap_err();
    assert!(error.contains("`os.system`"), "{error}");
    let unknown = dict("w", &[&text("8"), &b"Q"[..]].concat());
    assert!(read(&tar(&unknown, &TWO_ROWS, &numbers(6))).is_err());
    let mut renamed = file.clone();
    renamed[0] ^= 1;
    assert!(read(&renamed).unwrap_err().contains("broken tar"));
}

/// Reads a file nobody vouches for; what comes out is within the bound.
fn survive(file: &[u8]) {
    if let Ok(tensors) = read(file) {
        let bytes: usize = tensors.values().map(|tensor| tensor.bytes.len()).sum();
        assert!(bytes <= file.len() + VIEWS);
    }
}

proptest! {
    #[test]
    fn noise_is_survived(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        survive(&noise);
        survive(&[b"PK\x03\x04", &noise[..]].concat());
        survive(&[b"\x80\x02", &noise[..]].concat());
        for file in containers(&noise) {
            survive(&file);
        }
    }

    #[test]
    fn changes_are_survived(
        container in 0usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let oldest = tar(&by_key(), &TWO_ROWS, &numbers(6));
        let mut file = [&containers(&dict("w", &tensor(&TWO_ROWS)))[..], &[oldest]].concat()[container].clone();
        for (index, byte) in changes {
            let at = index.index(file.len());
            file[at] = byte;
        }
        survive(&file);
    }

    /// Against the definition: element i of a view is at offset + Σ indexₖ·strideₖ.
    #[test]
    fn a_view_is_what_its_strides_say(
        axes in proptest::collection::vec((0usize..4, 0usize..5), 0..4),
        offset in 0usize..4,
    ) {
        let (shape, strides): (Vec<usize>, Vec<usize>) = axes.into_iter().unzip();
        let storage = Storage { key: "0".into(), dtype: Dtype::U8, len: 64 };
        let view = View::new(storage, offset, shape.clone(), strides.clone()).unwrap();
        let bytes: Vec<u8> = (0..64).collect();
        let count: usize = shape.iter().product();
        let place = |mut i: usize| {
            let axes = shape.iter().zip(&strides).rev();
            axes.fold(offset, |at, (size, stride)| {
                let index = i % size;
                i /= size;
                at + index * stride
            })
        };
        let expected: Vec<u8> = (0..count).map(|i| bytes[place(i)]).collect();
        prop_assert_eq!(view.gather(&bytes).unwrap(), expected);
    }
}
