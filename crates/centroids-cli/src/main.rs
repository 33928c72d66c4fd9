//! The `centroids` command.
fn main() {}
