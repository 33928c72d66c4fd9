use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use centroids_data::prepare::{JpgOptions, JpgReport, convert_to_jpg};
use centroids_data::{DEFAULT_MAX_PIXELS, Error, decode_file};
use image::{DynamicImage, ImageFormat};

use crate::support::{assert_says, contents, encode, go_on, picture, stop_at};

fn options(folder: &Path) -> JpgOptions {
    let (source, target) = (folder.join("from"), folder.join("to/jpg"));
    JpgOptions { source, target, recursive: false, threads: 2 }
}

fn convert(options: &JpgOptions) -> Result<JpgReport, Error> {
    convert_to_jpg(options, &mut go_on).map(Option::unwrap)
}

fn plant(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join("from").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn png(seed: usize) -> Vec<u8> {
    encode(&picture(20, 12, seed), ImageFormat::Png)
}

fn names(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().map(|path| path.to_str().unwrap().replace('\\', "/")).collect()
}

#[test]
fn every_format_becomes_a_jpeg_of_its_stem_and_failures_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let plant = |name: &str, bytes: &[u8]| plant(folder.path(), name, bytes);
    plant("a.png", &png(0));
    plant("b.JPG", &encode(&picture(20, 12, 1), ImageFormat::Jpeg));
    plant("c", &png(2)); // no extension, as downloads have it
    plant("d.e.bmp", &encode(&picture(20, 12, 3), ImageFormat::Bmp));
    plant("cut.png", &png(4)[..100]);
    plant("notes.txt", b"mine");
    plant("empty.jpg", b"");
    plant(".hidden.png", &png(5));
    plant("sub/deep.png", &png(6));
    let options = options(folder.path());
    let report = convert(&options).unwrap();
    assert_eq!((report.converted, report.kept), (4, 0));
    assert_eq!(names(&options.target), ["a.jpg", "b.jpg", "c.jpg", "d.e.jpg"]);
    let failed = ["cut.png", "empty.jpg", "notes.txt"];
    assert_eq!(report.failed.len(), failed.len());
    for (failure, name) in report.failed.iter().zip(failed) {
        assert!(failure.path.ends_with(name) && failure.reason.contains(name), "{failure:?}");
    }
    let jpeg = decode_file(&options.target.join("a.jpg"), DEFAULT_MAX_PIXELS).unwrap();
    assert_eq!((jpeg.width, jpeg.height), (20, 12));
}

#[test]
fn alpha_is_dropped_and_of_16_bits_the_high_byte_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |image: DynamicImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let clear = image::RgbaImage::from_pixel(16, 16, image::Rgba([200, 100, 50, 0]));
    plant(folder.path(), "clear.png", bytes(clear.into()));
    let deep = image::ImageBuffer::from_pixel(16, 16, image::Luma([0x80FF_u16]));
    plant(folder.path(), "deep.png", bytes(deep.into()));
    let options = options(folder.path());
    convert(&options).unwrap();
    for (name, wanted) in [("clear.jpg", [200, 100, 50]), ("deep.jpg", [0x80; 3])] {
        let jpeg = decode_file(&options.target.join(name), DEFAULT_MAX_PIXELS).unwrap();
        for (value, wanted) in jpeg.pixels.iter().zip(wanted.into_iter().cycle()) {
            assert!(value.abs_diff(wanted) <= 2, "{name}: {value}, not {wanted}");
        }
    }
}

#[test]
fn of_two_files_with_one_stem_the_second_fails() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), "a.jpg", encode(&picture(8, 8, 0), ImageFormat::Jpeg));
    plant(folder.path(), "a.png", png(1));
    let options = options(folder.path());
    for kept in [0, 1] {
        let report = convert(&options).unwrap();
        assert_eq!((report.converted, report.kept, report.failed.len()), (1, kept, 1));
        let reason = &report.failed[0].reason;
        assert!(reason.contains("a.png") && reason.contains("`a.jpg`"), "{reason}");
        let jpeg = decode_file(&options.target.join("a.jpg"), DEFAULT_MAX_PIXELS).unwrap();
        assert_eq!(jpeg.width, 8);
    }
}

#[test]
fn recursive_mirrors_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "x/a.png", "x/y/b.png"] {
        plant(folder.path(), name, png(name.len()));
    }
    let options = JpgOptions { recursive: true, ..options(folder.path()) };
    assert_eq!(convert(&options).unwrap().converted, 3);
    assert_eq!(names(&options.target), ["a.jpg", "x/a.jpg", "x/y/b.jpg"]);
}

#[test]
fn a_second_run_ends_what_the_first_began_and_keeps_what_is_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..100 {
        plant(folder.path(), &format!("{seed:02}.png"), png(seed));
    }
    let whole = options(folder.path());
    convert(&whole).unwrap();
    let parts = JpgOptions { target: folder.path().join("parts"), ..whole.clone() };
    assert_eq!(convert_to_jpg(&parts, &mut stop_at("converting", 3)).unwrap(), None);
    let begun = names(&parts.target).len();
    assert!((3..100).contains(&begun), "{begun}");
    // As a killed run leaves it.
    fs::write(parts.target.join(".07.jpg.1234-5.tmp"), "half").unwrap();
    let report = convert(&parts).unwrap();
    assert_eq!((report.converted, report.kept), (100, begun));
    assert!(contents(&parts.target) == contents(&whole.target));

    // A newer source is converted again, an older one is not.
    let source = fs::File::options().write(true).open(parts.source.join("05.png")).unwrap();
    source.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    assert_eq!(convert(&parts).unwrap().kept, 99);
}

#[test]
fn folders_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = options(folder.path());
    assert_says(&convert(&good).unwrap_err(), &["from", "does not exist"]);
    fs::create_dir_all(&good.source).unwrap();
    assert_says(&convert(&good).unwrap_err(), &["from", "holds no images"]);
    plant(folder.path(), "a.jpg", encode(&picture(8, 8, 0), ImageFormat::Jpeg));
    let before = contents(&good.source);
    let onto = JpgOptions { target: good.source.join("../from"), ..good.clone() };
    assert_says(&convert(&onto).unwrap_err(), &["another folder"]);
    let into = JpgOptions { target: good.source.join("jpg"), recursive: true, ..good.clone() };
    assert_says(&convert(&into).unwrap_err(), &["another folder"]);
    assert_eq!(contents(&good.source), before);
    let file = JpgOptions { target: good.source.join("a.jpg"), ..good };
    assert_says(&convert(&file).unwrap_err(), &["a.jpg"]);
}
