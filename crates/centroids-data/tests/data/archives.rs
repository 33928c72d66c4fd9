use std::fs;
use std::path::{Path, PathBuf};

use centroids_data::{ArchivedImages, ImageBytes as _, ImageSources, read_archive};
use tar::{Builder, EntryType, Header};

/// A regular member of this content.
fn member(builder: &mut Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    // Not `set_path`, which is careful with names.
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(content.len() as u64);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn packed(members: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    members.iter().for_each(|(name, content)| member(&mut builder, name, content.as_bytes()));
    builder.into_inner().unwrap()
}

fn read(bytes: &[u8]) -> Result<(tempfile::TempDir, ArchivedImages), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.tar");
    fs::write(&path, bytes).unwrap();
    let images = read_archive(&path).map_err(|error| error.to_string())?;
    Ok((folder, images))
}

/// Name within the archive, identity, camera.
type Row = (String, i64, Option<u32>);

fn rows(folder: &Path, images: &ArchivedImages) -> Vec<Row> {
    let prefix = format!("{}/shard.tar/", folder.display());
    let name = |path: &PathBuf| path.to_str().unwrap().strip_prefix(&prefix).unwrap().to_owned();
    let rows = images.records.iter();
    rows.map(|image| (name(&image.path), image.pid.0, image.camid.map(|c| c.0))).collect()
}

fn listed(members: &[(&str, &str)]) -> Vec<Row> {
    let (folder, images) = read(&packed(members)).unwrap();
    rows(folder.path(), &images)
}

fn refused(bytes: &[u8], part: &str) {
    let message = read(bytes).map(|(_, images)| images.records).unwrap_err();
    assert!(message.contains("shard.tar") && message.contains(part), "{part}: {message}");
}

fn row(name: &str, pid: i64, camid: Option<u32>) -> Row {
    (name.to_owned(), pid, camid)
}

#[test]
fn labels_are_those_of_the_key_wherever_they_stand() {
    let members = [
        ("a/1.json", r#"{"pid": 7, "camid": "2", "more": [1]}"#),
        ("a/1.jpg", "x"),
        ("a/2.png", "y"),
        ("a/2.cls", "9\n"),
        ("a/2.txt", "not this"),
        ("a/3.crop.JPG", "z"),
        ("a/3.txt", " 8 \nmore"),
        ("a/3.json", r#"{"caption": "a shoe"}"#),
        ("a/1.jpg.md5", "?"),
    ];
    let expected =
        [row("a/1.jpg", 7, Some(2)), row("a/2.png", 9, None), row("a/3.crop.JPG", 8, None)];
    assert_eq!(listed(&members), expected);
    let (_, images) = read(&packed(&members)).unwrap();
    assert!(images.left_out[0].ends_with("a/1.jpg.md5") && images.pid_names.is_empty());
}

#[test]
fn without_labels_every_image_is_an_identity_of_its_own() {
    let (folder, images) = read(&packed(&[("b.jpg", ""), ("a.jpg", ""), ("._a.jpg", "")])).unwrap();
    assert_eq!(rows(folder.path(), &images), [row("b.jpg", 2, None), row("a.jpg", 1, None)]);
    assert!(images.pid_names.values().next().unwrap().ends_with("shard.tar/a.jpg"));
    let named = listed(&[("1.jpg", ""), ("1.cls", "shoe"), ("2.jpg", ""), ("2.cls", "bag")]);
    assert_eq!(named, [row("1.jpg", 2, None), row("2.jpg", 1, None)]);
}

#[test]
fn bytes_come_from_their_place_in_the_archive() {
    let long = format!("{}/{}.jpg", "d".repeat(90), "n".repeat(90));
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(4);
    builder.append_data(&mut header, &long, &b"long"[..]).unwrap();
    member(&mut builder, "a.jpg", &[7; 1000]);
    let (folder, mut images) = read(&builder.into_inner().unwrap()).unwrap();
    let sources = ImageSources::archive(&mut images);
    assert!(!sources.are_files());
    let bytes = |row: usize| {
        let mut bytes = Vec::new();
        sources.read(&images.records[row].path, &mut bytes).map(|()| bytes)
    };
    assert_eq!(bytes(0).unwrap(), b"long");
    assert_eq!(bytes(1).unwrap(), [7; 1000]);
    // An archive that becomes shorter while it is used.
    fs::write(folder.path().join("shard.tar"), [0; 2048]).unwrap();
    assert!(bytes(1).unwrap_err().to_string().contains("become shorter"));
}

#[test]
fn names_are_only_names() {
    let (folder, mut images) =
        read(&packed(&[("../../up.jpg", "up"), ("/etc/root.jpg", "root")])).unwrap();
    let sources = ImageSources::archive(&mut images);
    let found = rows(folder.path(), &images);
    assert_eq!((found[0].0.as_str(), found[1].0.as_str()), ("../../up.jpg", "/etc/root.jpg"));
    for (image, content) in images.records.iter().zip(["up", "root"]) {
        let mut bytes = Vec::new();
        sources.read(&image.path, &mut bytes).unwrap();
        assert_eq!(bytes, content.as_bytes());
    }
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let whole = packed(&[("a.jpg", "aaaa"), ("b.jpg", "bbbb"), ("b.cls", "1"), ("a.cls", "1")]);
    assert_eq!(whole.len(), 4 * 1024 + 1024);
    for length in (1..=4 * 1024).step_by(100).chain([512, 1024, 1025, 4 * 1024]) {
        refused(&whole[..length], "");
    }
    for boundary in [1024, 2048, 4096] {
        refused(&whole[..boundary], "cut off before its end mark");
    }
    refused(&whole[..1024 + 600], "cut off in `b.jpg`");
    refused(&[], "cut off");
}

#[test]
fn what_is_broken_or_twice_is_named() {
    refused(&packed(&[("a.jpg", "1"), ("a.jpg", "2")]), "holds `a.jpg` twice");
    refused(&packed(&[("a.cls", "1")]), "holds no images");
    refused(&packed(&[("a.jpg", ""), ("a.json", "{")]), "a.json");
    refused(&packed(&[("a.jpg", ""), ("a.json", "7")]), "a.json");
    refused(&packed(&[("a.jpg", ""), ("b.jpg", ""), ("b.cls", "1")]), "a.jpg` has no identity");
    let mut wrong = packed(&[("a.jpg", "")]);
    wrong[0] = b'b'; // no longer what its checksum says
    refused(&wrong, "broken tar archive");
    refused(&[b'x'; 4096], "broken tar archive");
}

#[test]
fn sizes_that_lie_are_found_before_anything_is_read() {
    for size in [1 << 20, 1 << 40, u64::MAX >> 1] {
        let mut header = Header::new_gnu();
        header.set_path("a.jpg").unwrap();
        header.set_size(size);
        header.set_cksum();
        let bytes = [header.as_bytes().as_slice(), &[0; 4096]].concat();
        refused(&bytes, "cut off in `a.jpg`");
    }
}

#[test]
fn links_and_folders_are_no_images() {
    let mut builder = Builder::new(Vec::new());
    for (name, kind) in
        [("f.jpg", EntryType::Directory), ("l.jpg", EntryType::Symlink), ("h.jpg", EntryType::Link)]
    {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        if kind == EntryType::Directory {
            builder.append_data(&mut header, name, &b""[..]).unwrap();
        } else {
            builder.append_link(&mut header, name, "/etc/passwd").unwrap();
        }
    }
    member(&mut builder, "a.jpg", b"a");
    let (folder, images) = read(&builder.into_inner().unwrap()).unwrap();
    assert_eq!(rows(folder.path(), &images), [row("a.jpg", 1, None)]);
    assert_eq!(images.left_out.len(), 2, "the links");
}
