//! P×K sampling: batches of P identities with K images each.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use centroids_core::Pid;

use crate::error::Error;
use crate::label_map::LabelMap;
use crate::random_stream::{Purpose, random_stream};
use crate::record::ImageRecord;

/// One place of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Index into the training records. For a place that is not real: the last real image of its
    /// block, whose label and camera it carries.
    pub record: usize,
    /// Training class.
    pub label: usize,
    /// `false` where the identity has too few images: the place holds zeros.
    pub is_real: bool,
}

/// The numbers of P×K sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PkOptions {
    /// Identities per batch of one process.
    pub p: usize,
    /// Images per identity.
    pub k: usize,
    /// Whether an identity with fewer than K images repeats some; else the places stay empty.
    pub resample: bool,
    /// Processes that share an epoch.
    pub world: usize,
    /// Which of them this is, from 0.
    pub rank: usize,
}

impl PkOptions {
    /// P×K for a single process, without resampling.
    pub fn new(p: usize, k: usize) -> Self {
        Self { p, k, resample: false, world: 1, rank: 0 }
    }
}

/// Draws epochs of P×K batches, as the reference's `RandomIdentitySampler` does.
///
/// An identity of n images may be drawn ⌈n′/K⌉ times an epoch, n′ = n − 1 where n mod K = 1, else
/// n. While P·world identities have draws left, P·world distinct ones are drawn uniformly, of which
/// `rank` takes the `rank`-th P. So the number of batches varies a little between epochs, all ranks
/// have the same number, and their batches together are those of one process with P·world identities.
/// (The reference cuts the whole epoch into contiguous parts: an identity may then be in the batches
/// of two ranks at once.)
///
/// Each draw is a block of K: different images, and within an epoch images not drawn before as long
/// as there are. Identities with fewer than K images are filled up: with repeated images when
/// resampling, else with places that are not real. (The reference lets every worker draw from a
/// list of its own; here the result does not depend on workers.)
#[derive(Debug, Clone)]
pub struct PkSampler {
    identities: Vec<Identity>,
    skipped: Vec<Pid>,
    options: PkOptions,
}

#[derive(Debug, Clone)]
struct Identity {
    label: usize,
    records: Vec<usize>,
    draws: usize,
}

impl PkSampler {
    /// Prepares sampling of `records`, those that have a label.
    ///
    /// # Errors
    /// When a number is zero or `rank` is not below `world`, when no identity has K images, or when
    /// fewer than P·world identities can be drawn.
    pub fn new(
        records: &[ImageRecord],
        labels: &LabelMap,
        options: PkOptions,
    ) -> Result<Self, Error> {
        let PkOptions { p, k, world, rank, .. } = options;
        let refuse = |problem: String| Err(Error::Sampler { p, k, problem });
        if p == 0 || k == 0 || world <= rank {
            return refuse(format!(
                "P, K and the number of processes must be positive and rank {rank} below {world}"
            ));
        }
        let groups = by_identity(records, labels);
        let largest = groups.values().map(|(_, records)| records.len()).max().unwrap_or(0);
        if largest < k {
            return refuse(format!(
                "K is larger than any identity (the largest has {largest} images): lower K"
            ));
        }
        let (drawn, skipped): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(_, (_, records))| draws(records.len(), k) > 0);
        if drawn.len() < 2 {
            return refuse(
                "fewer than 2 identities have 2 or more images: nothing can be learned from that, \
                 add images"
                    .into(),
            );
        }
        if drawn.len() < p * world {
            let most = drawn.len() / world;
            return refuse(format!(
                "only {} identities have 2 or more images, {} are needed: lower P to {most}",
                drawn.len(),
                p * world
            ));
        }
        let identity = |(_, (label, records)): (Pid, (usize, Vec<usize>))| Identity {
            label,
            draws: draws(records.len(), k),
            records,
        };
        Ok(Self {
            identities: drawn.into_iter().map(identity).collect(),
            skipped: skipped.into_iter().map(|(pid, _)| pid).collect(),
            options,
        })
    }

    /// Identities that are never drawn because they have too few images (one).
    pub fn skipped(&self) -> &[Pid] {
        &self.skipped
    }

    /// Images in a batch: P·K.
    pub fn batch_size(&self) -> usize {
        self.options.p * self.options.k
    }

    /// The largest number of batches that an epoch can have.
    pub fn max_batches(&self) -> usize {
        self.identities.iter().map(|identity| identity.draws).sum::<usize>()
            / (self.options.p * self.options.world)
    }

    /// The batches of this rank in one epoch: each P consecutive blocks of K draws. The same `seed`
    /// and `epoch` give the same batches on every machine and rank.
    pub fn epoch(&self, seed: u64, epoch: usize) -> Vec<Vec<Draw>> {
        let mut rng = random_stream(seed, Purpose::Sampling, epoch as u64, 0);
        let order = self.identity_order(&mut rng);
        // Images are dealt out along the whole order on every rank, so ranks never share an image
        // needlessly.
        let mut decks: Vec<Vec<usize>> =
            self.identities.iter().map(|i| shuffled(&i.records, &mut rng)).collect();
        let blocks: Vec<Vec<Draw>> =
            order.iter().map(|&index| self.block(index, &mut decks[index], &mut rng)).collect();
        let PkOptions { p, world, rank, .. } = self.options;
        blocks.chunks_exact(p * world).map(|drawn| drawn[rank * p..][..p].concat()).collect()
    }

    /// Indices of identities, P·world distinct ones at a time.
    fn identity_order(&self, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let at_once = self.options.p * self.options.world;
        let mut left: Vec<usize> = self.identities.iter().map(|identity| identity.draws).collect();
        let mut drawable: Vec<usize> = (0..left.len()).collect();
        let mut order = Vec::new();
        while drawable.len() >= at_once {
            let (drawn, _) = drawable.partial_shuffle(rng, at_once);
            for &mut index in drawn {
                left[index] -= 1;
                order.push(index);
            }
            drawable.retain(|&index| left[index] > 0);
        }
        order
    }

    /// K places of one identity: unused images first, then others of it, then fill.
    fn block(&self, index: usize, deck: &mut Vec<usize>, rng: &mut ChaCha8Rng) -> Vec<Draw> {
        let PkOptions { k, resample, .. } = self.options;
        let Identity { label, records, .. } = &self.identities[index];
        let mut images = deck.split_off(deck.len().saturating_sub(k));
        if images.len() < k {
            let used: Vec<usize> =
                records.iter().copied().filter(|record| !images.contains(record)).collect();
            images.extend(shuffled(&used, rng).into_iter().take(k - images.len()));
        }
        let real = images.len();
        let last = images[real - 1];
        while images.len() < k {
            images.push(if resample { images[rng.random_range(0..real)] } else { last });
        }
        let draw =
            |(place, record)| Draw { record, label: *label, is_real: resample || place < real };
        images.into_iter().enumerate().map(draw).collect()
    }
}

/// How often an identity of `images` images may be drawn an epoch: a last draw of one image is not
/// worth it.
fn draws(images: usize, k: usize) -> usize {
    let whole = if images % k == 1 { images - 1 } else { images };
    whole.div_ceil(k)
}

fn by_identity(records: &[ImageRecord], labels: &LabelMap) -> BTreeMap<Pid, (usize, Vec<usize>)> {
    let mut groups: BTreeMap<Pid, (usize, Vec<usize>)> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        if let Some(label) = labels.label(record.pid) {
            groups.entry(record.pid).or_insert_with(|| (label, Vec::new())).1.push(index);
        }
    }
    groups
}

fn shuffled(items: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut items = items.to_vec();
    items.shuffle(rng);
    items
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Identities 1, 2, … with the given numbers of images.
    fn records(counts: &[usize]) -> Vec<ImageRecord> {
        let images =
            (1..).zip(counts).flat_map(|(pid, &count)| std::iter::repeat_n(Pid(pid), count));
        images.map(|pid| ImageRecord { path: "x.jpg".into(), pid, camid: None }).collect()
    }

    fn sampler(counts: &[usize], options: PkOptions) -> Result<PkSampler, Error> {
        let records = records(counts);
        PkSampler::new(&records, &LabelMap::of(&records), options)
    }

    #[test]
    fn draws_an_epoch() {
        let wanted = [(1, 0), (2, 1), (4, 1), (5, 1), (6, 2), (9, 2), (10, 3), (80, 20)];
        for (images, times) in wanted {
            assert_eq!(draws(images, 4), times, "{images} images");
        }
        assert_eq!((draws(3, 2), draws(1, 1), draws(3, 1)), (1, 1, 3));
    }

    #[test]
    fn too_few_images_are_filled_up_behind_the_real_ones() {
        let options = |resample| PkOptions { resample, ..PkOptions::new(2, 4) };
        let blocks = |resample| sampler(&[4, 2], options(resample)).unwrap().epoch(0, 0).concat();
        let small: Vec<Draw> = blocks(false).into_iter().filter(|draw| draw.label == 1).collect();
        let real: Vec<bool> = small.iter().map(|draw| draw.is_real).collect();
        assert_eq!(real, [true, true, false, false]);
        assert_ne!(small[0].record, small[1].record);
        assert!(small[2..].iter().all(|mock| mock.record == small[1].record));
        assert!(blocks(true).iter().all(|draw| draw.is_real));
    }

    #[test]
    fn impossible_numbers_are_refused_with_a_reason() {
        let message = |counts: &[usize], options| sampler(counts, options).unwrap_err().to_string();
        let k_too_large = message(&[3, 3], PkOptions::new(2, 4));
        assert!(k_too_large.contains("K is larger than any identity (the largest has 3"));
        assert!(message(&[4, 4, 1], PkOptions::new(3, 4)).contains("only 2 identities"));
        assert!(message(&[4, 4], PkOptions::new(0, 4)).contains("must be positive"));
        let third_of_two = PkOptions { world: 2, rank: 2, ..PkOptions::new(1, 4) };
        assert!(message(&[4, 4], third_of_two).contains("rank 2 below 2"));
        assert!(message(&[], PkOptions::new(1, 4)).contains("the largest has 0"));
    }

    #[test]
    fn seed_and_epoch_decide() {
        let sampler = sampler(&[8; 10], PkOptions::new(4, 4)).unwrap();
        assert_eq!(sampler.epoch(1, 2), sampler.epoch(1, 2));
        assert_ne!(sampler.epoch(1, 2), sampler.epoch(1, 3));
        assert_ne!(sampler.epoch(1, 2), sampler.epoch(2, 2));
    }

    #[test]
    fn ranks_together_draw_what_one_process_would() {
        let counts = [8, 5, 3, 9, 12, 4, 6, 2, 8];
        let options = |p, world, rank| PkOptions { p, k: 4, resample: false, world, rank };
        let epoch = |options| sampler(&counts, options).unwrap().epoch(5, 1);
        let (ranks, whole): (Vec<_>, _) =
            ([0, 1, 2].map(|rank| epoch(options(2, 3, rank))).into(), epoch(options(6, 1, 0)));
        assert!(whole.len() > 1);
        for (step, batch) in whole.iter().enumerate() {
            let parts: Vec<Draw> = ranks.iter().flat_map(|rank| rank[step].clone()).collect();
            assert_eq!(&parts, batch);
            let labels: BTreeSet<usize> = parts.iter().map(|draw| draw.label).collect();
            assert_eq!(labels.len(), 6, "identities of different ranks are different");
        }
    }

    #[test]
    fn identities_with_one_image_are_reported() {
        assert_eq!(sampler(&[4, 1, 4], PkOptions::new(2, 4)).unwrap().skipped(), [Pid(2)]);
    }

    proptest! {
        #[test]
        fn every_batch_is_p_times_k(
            counts in proptest::collection::vec(1_usize..12, 4..12),
            p in 1_usize..4, k in 1_usize..5, world in 1_usize..3, resample: bool, seed: u64,
        ) {
            let options = |rank| PkOptions { p, k, resample, world, rank };
            let Ok(first) = sampler(&counts, options(0)) else { return Ok(()) };
            let mut used = vec![BTreeSet::new(); counts.len()];
            let mut times = vec![0; counts.len()];
            let mut lengths = BTreeSet::new();
            for rank in 0..world {
                let epoch = sampler(&counts, options(rank)).unwrap().epoch(seed, 3);
                lengths.insert(epoch.len());
                for batch in epoch {
                    prop_assert_eq!(batch.len(), p * k);
                    let labels: Vec<usize> = batch.chunks(k).map(|block| block[0].label).collect();
                    prop_assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), p);
                    for block in batch.chunks(k) {
                        let label = block[0].label;
                        times[label] += 1;
                        prop_assert!(block.iter().all(|draw| draw.label == label));
                        let distinct: BTreeSet<_> = block.iter().map(|draw| draw.record).collect();
                        prop_assert_eq!(distinct.len(), k.min(counts[label]));
                        used[label].extend(distinct);
                    }
                }
            }
            prop_assert_eq!(lengths.len(), 1);
            prop_assert!(lengths.first() <= Some(&first.max_batches()));
            for (label, &count) in counts.iter().enumerate() {
                prop_assert!(times[label] <= draws(count, k));
                // As many different images as the draws can hold.
                prop_assert_eq!(used[label].len(), count.min(times[label] * k));
            }
        }
    }
}
