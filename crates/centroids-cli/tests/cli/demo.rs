use crate::catalogue::json;

#[test]
fn runs_and_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let arguments = ["demo", "--epochs", "1", "--train-ids", "16", "--dir", dir.to_str().unwrap()];
    let first = json(arguments);
    let sheet = std::fs::read(dir.join("search.png")).unwrap();
    assert!(sheet.starts_with(b"\x89PNG"));
    assert_eq!(first["trained"].as_array().unwrap().len(), 3);
    assert_eq!(json(arguments)["trained"], first["trained"]);
}
