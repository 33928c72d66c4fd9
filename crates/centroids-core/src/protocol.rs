//! What an evaluation ranks, what it leaves out, and how it compares vectors.

use crate::centroid::CentroidOf;
use crate::distance::{Distance, unit_scale};
use crate::ids::CamId;
use crate::names::named_enum;

/// What the gallery consists of.
///
/// [`Nearest`](Self::Nearest) and [`Centroid`](Self::Centroid) rank identities: one is relevant, so
/// AP = 1/rank and their mAP compares with each other's but not with that of
/// [`Instance`](Self::Instance). The gain of centroids is centroid against nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Each image.
    Instance,
    /// Each identity, by its image nearest to the query.
    Nearest,
    /// Each identity, by the mean embedding of its images.
    Centroid,
}

named_enum!(Unit, "unit", {
    Instance => "instance",
    Nearest => "nearest",
    Centroid => "centroid",
});

/// Which gallery images do not count for a query because of their camera. Unknown cameras count as
/// different from every other. An identity with no image left is no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CameraRule {
    /// Images of the query's own pid from the query's camera: the standard of person
    /// re-identification since Market-1501.
    Market,
    /// All images from the query's camera, whatever their pid: needs no knowledge of the query's
    /// identity, so a deployment can do it.
    Cross,
    /// None: cameras are ignored, as for products.
    Any,
}

named_enum!(CameraRule, "camera rule", {
    Market => "market",
    Cross => "cross",
    Any => "any",
});

impl CameraRule {
    /// Whether an image counts for a query of camera `query`, given its own camera and whether it
    /// shows the query's identity.
    pub(crate) fn allows(self, query: Option<CamId>, image: Option<CamId>, same_pid: bool) -> bool {
        match self {
            Self::Market => !(same_pid && CamId::same(query, image)),
            Self::Cross => !CamId::same(query, image),
            Self::Any => true,
        }
    }
}

/// The reference's camera-aware centroid evaluation, for comparison with its published figures.
///
/// For each gallery pid that has a query, and each distinct camera of its queries, one centroid:
/// the mean of the pid's gallery images from other cameras; of centroids of the same pid that come
/// from the same set of cameras only the first is kept. A centroid does not count for a query of
/// its pid whose camera is in that set. Pids without a query are dropped, which makes the task
/// easier than [`Unit::Centroid`] with [`CameraRule::Market`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// What the code means to do.
    Paper,
    /// What it does: the camera of gallery image `j` is read from position `j` of the list
    /// `[query; gallery]`, so it is the camera of an unrelated image (`modelling/bases.py`, line
    /// 215). The published 0.964 mAP on DukeMTMC-reID was obtained so. Depends on the order of
    /// both lists, which must be the order in which the datasets were listed.
    PaperAsPublished,
}

named_enum!(Preset, "preset", {
    Paper => "paper",
    PaperAsPublished => "paper-as-published",
});

/// How vectors are compared. The default is the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Distance of two vectors.
    pub distance: Distance,
    /// Whether queries, images and centroids get length 1 first.
    pub normalize: bool,
    /// What a centroid is the mean of.
    pub centroid_of: CentroidOf,
}

impl Default for Metric {
    fn default() -> Self {
        Self { distance: Distance::SquaredEuclidean, normalize: true, centroid_of: CentroidOf::Raw }
    }
}

impl Metric {
    /// Makes a vector, `[dim]`, ready for [`Distance::between_prepared`].
    pub fn prepare(&self, vector: &mut [f64]) {
        if self.normalize || self.distance == Distance::Cosine {
            let scale = unit_scale(vector);
            vector.iter_mut().for_each(|value| *value *= scale);
        }
    }

    /// A row of embeddings, `[dim]`, ready for [`Distance::between_prepared`].
    pub fn prepared(&self, row: &[f32]) -> Vec<f64> {
        let mut vector: Vec<f64> = row.iter().copied().map(f64::from).collect();
        self.prepare(&mut vector);
        vector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_value() {
        for unit in Unit::ALL {
            assert_eq!(unit.name().parse::<Unit>().unwrap(), *unit);
        }
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse::<Preset>().unwrap(), *preset);
        }
        assert_eq!(
            "strict".parse::<CameraRule>().unwrap_err().to_string(),
            "unknown camera rule `strict`: use one of market, cross, any"
        );
    }

    #[test]
    fn camera_rules_leave_out_what_they_say() {
        let [here, there] = [Some(CamId(0)), Some(CamId(1))];
        // (rule, image camera, same pid, counts)
        let cases = [
            (CameraRule::Market, here, true, false),
            (CameraRule::Market, here, false, true),
            (CameraRule::Market, there, true, true),
            (CameraRule::Market, None, true, true),
            (CameraRule::Cross, here, true, false),
            (CameraRule::Cross, here, false, false),
            (CameraRule::Cross, there, false, true),
            (CameraRule::Cross, None, false, true),
            (CameraRule::Any, here, true, true),
        ];
        for (rule, image, same_pid, counts) in cases {
            assert_eq!(rule.allows(here, image, same_pid), counts, "{rule} {image:?} {same_pid}");
            assert!(rule.allows(None, image, same_pid));
        }
    }
}
