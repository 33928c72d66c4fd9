//! Which classes get several centroids, and where these are.
//!
//! Spherical k-means on the directions of a class's images, every image counting once, from a start
//! without chance: the part with the largest residual is cut across its principal axis, then all
//! images go to their nearest centre until none moves. One more centre is kept only if the mean
//! residual, `Σ (1 − cos) / (images − centres)`, falls by more than [`GAIN`], and if each centre has
//! [`LEAST`] images: noise alone lowers the sum but hardly this mean, and a lone far image gets no
//! centroid of its own, it counts in the nearest.

/// Share by which the mean residual must fall for one more centre.
const GAIN: f64 = 0.2;

/// Images of a centre.
const LEAST: usize = 2;

/// Times that all images are given to their nearest centre.
const ROUNDS: usize = 30;

/// Times that an axis is turned towards the principal one.
const TURNS: usize = 12;

/// Centres of a class, `[centres][dim]`, of length 1: one, or up to `most` where the criterion above
/// wants them, in the order of their first images. `vectors` is not empty; the same vectors in the
/// same order give the same centres, to the bit.
pub(crate) fn centres(vectors: &[Vec<f32>], most: usize) -> Vec<Vec<f64>> {
    let directions: Vec<Vec<f64>> = vectors.iter().map(|vector| direction(vector)).collect();
    let mut best = Clustering::around(&directions, vec![mean(directions.iter())]);
    while best.centres.len() < most {
        match best.finer(&directions) {
            Some(finer) if finer.is_worth(&best) => best = finer,
            _ => break,
        }
    }
    best.in_order()
}

/// The centre nearest to a vector; of equally near ones the first.
pub(crate) fn nearest(centres: &[Vec<f64>], vector: &[f32]) -> usize {
    nearest_of(centres, &direction(vector)).1
}

/// Fewest images that can have two centres.
pub(crate) const DIVISIBLE: usize = 2 * LEAST;

struct Clustering {
    centres: Vec<Vec<f64>>,
    /// The centre of each image.
    of: Vec<usize>,
    /// Σ (1 − cos).
    residual: f64,
}

impl Clustering {
    /// Each image at the nearest of these centres.
    fn around(directions: &[Vec<f64>], centres: Vec<Vec<f64>>) -> Self {
        let nearest = directions.iter().map(|direction| nearest_of(&centres, direction));
        let (distances, of): (Vec<f64>, _) = nearest.unzip();
        Self { centres, of, residual: distances.iter().sum() }
    }

    /// With one centre more; `None` where no part can be cut.
    fn finer(&self, directions: &[Vec<f64>]) -> Option<Self> {
        let widest = self.widest(directions)?;
        let part: Vec<&Vec<f64>> = self.members(directions, widest).collect();
        let middle = average(part.iter().copied());
        let axis = principal_axis(&part, &middle, &self.centres[widest]);
        let side = |direction: &Vec<f64>| dot(direction, &axis) > dot(&middle, &axis);
        let (above, below): (Vec<_>, Vec<_>) = part.into_iter().partition(|&image| side(image));
        if above.is_empty() || below.is_empty() {
            return None;
        }
        let mut centres = self.centres.clone();
        centres[widest] = mean(above.into_iter());
        centres.push(mean(below.into_iter()));
        let mut found = Self::around(directions, centres);
        for _ in 0..ROUNDS {
            let again = Self::around(directions, found.means(directions)?);
            let settled = again.of == found.of;
            found = again;
            if settled {
                break;
            }
        }
        Some(found)
    }

    /// The part with the largest residual of those that can be cut.
    fn widest(&self, directions: &[Vec<f64>]) -> Option<usize> {
        let mut widest = None;
        for (part, centre) in self.centres.iter().enumerate() {
            let images = self.members(directions, part);
            let residual: f64 = images.map(|image| distance(centre, image)).sum();
            let larger = widest.is_none_or(|(most, _)| residual > most);
            if larger && self.count(part) >= DIVISIBLE {
                widest = Some((residual, part));
            }
        }
        widest.map(|(_, part)| part)
    }

    /// Where the images' centres should be; `None` if one has none.
    fn means(&self, directions: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
        let parts = 0..self.centres.len();
        parts
            .map(|part| (self.count(part) > 0).then(|| mean(self.members(directions, part))))
            .collect()
    }

    fn members<'a>(
        &'a self,
        directions: &'a [Vec<f64>],
        part: usize,
    ) -> impl Iterator<Item = &'a Vec<f64>> {
        directions.iter().zip(&self.of).filter(move |(_, of)| **of == part).map(|(image, _)| image)
    }

    fn count(&self, part: usize) -> usize {
        self.of.iter().filter(|of| **of == part).count()
    }

    /// Whether its additional centre meets the criterion.
    fn is_worth(&self, coarser: &Self) -> bool {
        /// A class of one direction has no more than rounding.
        const NOTHING: f64 = 1e-9;
        let free = |of: &Self| of.of.len() as f64 - of.centres.len() as f64;
        let (before, after) = (coarser.residual / free(coarser), self.residual / free(self));
        let large_enough = (0..self.centres.len()).all(|part| self.count(part) >= LEAST);
        large_enough && before > NOTHING && after < (1.0 - GAIN) * before
    }

    /// The centres in the order of their first images.
    fn in_order(mut self) -> Vec<Vec<f64>> {
        let first = |part| self.of.iter().position(|of| *of == part).unwrap_or(usize::MAX);
        let mut order: Vec<usize> = (0..self.centres.len()).collect();
        order.sort_by_key(|&part| first(part));
        order.into_iter().map(|part| std::mem::take(&mut self.centres[part])).collect()
    }
}

/// Distance to the nearest centre, and which it is.
fn nearest_of(centres: &[Vec<f64>], direction: &[f64]) -> (f64, usize) {
    let mut nearest = (f64::INFINITY, 0);
    for (at, centre) in centres.iter().enumerate() {
        let distance = distance(centre, direction);
        if distance < nearest.0 {
            nearest = (distance, at);
        }
    }
    nearest
}

fn distance(centre: &[f64], direction: &[f64]) -> f64 {
    (1.0 - dot(centre, direction)).max(0.0)
}

/// Of length 1; the direction of zero is zero.
fn direction(vector: &[f32]) -> Vec<f64> {
    unit(vector.iter().copied().map(f64::from).collect())
}

fn unit(mut vector: Vec<f64>) -> Vec<f64> {
    let length = dot(&vector, &vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

fn average<'a>(vectors: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let (mut sum, mut count) = (Vec::new(), 0.0);
    for vector in vectors {
        sum.resize(vector.len(), 0.0);
        sum.iter_mut().zip(vector).for_each(|(sum, value): (&mut f64, _)| *sum += value);
        count += 1.0;
    }
    sum.iter_mut().for_each(|value| *value /= count);
    sum
}

/// The mean direction.
fn mean<'a>(directions: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    unit(average(directions))
}

/// Where a part is widest: power iteration, from the image farthest from its centre.
fn principal_axis(part: &[&Vec<f64>], middle: &[f64], centre: &[f64]) -> Vec<f64> {
    let from_middle = |image: &[f64]| -> Vec<f64> {
        image.iter().zip(middle).map(|(value, middle)| value - middle).collect()
    };
    let mut farthest = part[0];
    for &image in part {
        if distance(centre, image) > distance(centre, farthest) {
            farthest = image;
        }
    }
    let offsets: Vec<Vec<f64>> = part.iter().map(|image| from_middle(image)).collect();
    let mut axis = unit(from_middle(farthest));
    for _ in 0..TURNS {
        let mut turned = vec![0.0; axis.len()];
        for offset in &offsets {
            let along = dot(offset, &axis);
            turned.iter_mut().zip(offset).for_each(|(sum, value)| *sum += along * value);
        }
        axis = unit(turned);
    }
    axis
}

/// In eight sums, which processors add side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images at these angles, in degrees, and how they are divided.
    fn divided(angles: &[f32], most: usize) -> Vec<usize> {
        let vector = |angle: &f32| {
            let (sine, cosine) = angle.to_radians().sin_cos();
            vec![3.0 * cosine, 3.0 * sine]
        };
        let vectors: Vec<Vec<f32>> = angles.iter().map(vector).collect();
        let centres = centres(&vectors, most);
        vectors.iter().map(|vector| nearest(&centres, vector)).collect()
    }

    #[test]
    fn two_looks_get_two_centroids() {
        assert_eq!(divided(&[90.0, 0.0, 5.0, 85.0], 2), [0, 1, 1, 0]);
        assert_eq!(divided(&[90.0, 0.0, 5.0, 85.0], 1), [0, 0, 0, 0]);
        let three = [0.0, 90.0, 180.0, 1.0, 91.0, 181.0, 2.0, 92.0, 182.0];
        assert_eq!(divided(&three, 8), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn one_look_and_lone_images_get_none_of_their_own() {
        assert_eq!(divided(&[7.0; 6], 3), [0; 6]);
        assert_eq!(divided(&[0.0, 90.0, 45.0], 3), [0; 3], "too few");
        assert_eq!(divided(&[0.0, 1.0, 2.0, 3.0, 120.0], 3), [0; 5], "one far image");
        // Many directions at right angles: two centres fit two images each, for no fall of the mean.
        let corners: Vec<Vec<f32>> =
            (0..12).map(|i| (0..12).map(|j| f32::from(u8::from(i == j))).collect()).collect();
        assert_eq!(centres(&corners, 4).len(), 1);
        assert_eq!(centres(&vec![vec![0.0; 3]; 5], 2).len(), 1, "no direction at all");
    }
}
