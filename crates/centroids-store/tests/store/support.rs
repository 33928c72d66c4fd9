use std::path::PathBuf;

use centroids_core::{CamId, Embeddings, Pid};
use centroids_store::{AddOptions, Added, EmbeddedGallery, Gallery, Hit, NewMember, Settings};
use tempfile::TempDir;

/// A gallery in a folder of its own.
pub(crate) struct Fresh {
    pub(crate) gallery: EmbeddedGallery,
    pub(crate) folder: TempDir,
}

impl Fresh {
    pub(crate) fn new(settings: &Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gallery = EmbeddedGallery::create(&folder.path().join("g.gallery"), settings).unwrap();
        Self { gallery, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("g.gallery")
    }
}

pub(crate) fn member(key: &str, pid: i64, camera: Option<u32>, vector: &[f32]) -> NewMember {
    NewMember::new(key, Pid(pid), camera.map(CamId), vector.to_vec())
}

pub(crate) fn add(gallery: &EmbeddedGallery, members: &[NewMember]) -> Vec<Added> {
    gallery.add(members, AddOptions::default()).unwrap()
}

/// Hits are those of the definition in `everything`, and so are their images where they are shown.
pub(crate) fn assert_hits(
    hits: &[Hit],
    right: &[centroids_core::Hit],
    (everything, shown): (&Embeddings, bool),
) {
    assert_eq!(hits.len(), right.len());
    for (hit, right) in hits.iter().zip(right) {
        assert_eq!((hit.rank, hit.pid), (right.rank, right.pid));
        assert!((hit.distance - right.distance).abs() < 1e-12);
        let key = hit.example.as_ref().map(|example| example.key.as_str());
        assert_eq!(key, shown.then_some(everything.paths()[right.example].as_str()));
    }
}

/// Numbers from a seed, without a generator's crate.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Values in −1..1.
    pub(crate) fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.below(20_001) as f32 / 10_000.0 - 1.0).collect()
    }
}
