//! Findings as cards of pictures that a person can judge: what the page of the doctor shows.

use std::collections::BTreeMap;

use centroids_core::doctor::{Findings, Image, Merge, Mislabelled, Outlier, Pair, Split};
use centroids_core::{Embeddings, Pid};

/// Pictures that stand for a class, or for a part of one.
const EXAMPLES: usize = 5;

/// Findings of one kind.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// What it means and what to do.
    pub(super) meaning: &'static str,
    /// How many there are; the cards are the worst of them.
    pub(super) count: usize,
    pub(super) cards: Vec<Card>,
}

/// One finding.
pub(super) struct Card {
    pub(super) title: String,
    pub(super) facts: String,
    pub(super) strips: Vec<Strip>,
}

/// Pictures in a row.
pub(super) struct Strip {
    pub(super) caption: String,
    pub(super) paths: Vec<String>,
}

/// The worst findings of each kind.
pub(super) fn sections(findings: &Findings, gallery: &Embeddings, worst: usize) -> Vec<Section> {
    let members = Members::of(gallery);
    let duplicates = &findings.duplicates;
    let pairs = |pairs: &[Pair]| cards(pairs, worst, pair);
    let mut sections = vec![
        Section {
            title: "Likely mislabelled",
            meaning: "Nearer to the centroid of another class than to that of their own without \
                      them. Confirmed: more of the nearest images are of that class than of \
                      their own. Where the label is right, the model is wrong.",
            count: findings.mislabelled.len(),
            cards: cards(&findings.mislabelled, worst, |found| mislabelled(found, &members)),
        },
        Section {
            title: "Outliers",
            meaning: "Much farther from their class than its other images, and than images usually \
                      are: other things, bad crops, rare views.",
            count: findings.outliers.len(),
            cards: cards(&findings.outliers, worst, |found| outlier(found, &members)),
        },
        Section {
            title: "Duplicates under two labels",
            meaning: "Nearly the same image in two classes: one of the labels is wrong.",
            count: duplicates.conflicts.count,
            cards: pairs(&duplicates.conflicts.listed),
        },
        Section {
            title: "Duplicates under one label",
            meaning: "Nearly the same image twice: one is enough.",
            count: duplicates.redundant.count,
            cards: pairs(&duplicates.redundant.listed),
        },
        Section {
            title: "Classes that may be one",
            meaning: "Their members are as near to the other class as to the rest of their own \
                      (overlap 50% = the labels tell nothing).",
            count: findings.merges.len(),
            cards: cards(&findings.merges, worst, |found| merge(found, &members)),
        },
        Section {
            title: "Classes that may be two",
            meaning: "Their members lie in two heaps with little between them. Views from front and \
                      back do so as well.",
            count: findings.splits.len(),
            cards: cards(&findings.splits, worst, split),
        },
    ];
    if let Some(leaks) = &duplicates.leaks {
        let leaks = Section {
            title: "Images in both files",
            meaning: "Nearly the same image in the gallery (first) and in the other file (second): \
                      what is measured with them is too good.",
            count: leaks.count,
            cards: pairs(&leaks.listed),
        };
        sections.insert(2, leaks);
    }
    sections
}

fn cards<T>(found: &[T], worst: usize, card: impl Fn(&T) -> Card) -> Vec<Card> {
    found.iter().take(worst).map(card).collect()
}

/// Rows of each class.
struct Members<'a> {
    paths: &'a [String],
    rows: BTreeMap<Pid, Vec<usize>>,
}

impl<'a> Members<'a> {
    fn of(gallery: &'a Embeddings) -> Self {
        let mut rows: BTreeMap<Pid, Vec<usize>> = BTreeMap::new();
        for (row, &pid) in gallery.pids().iter().enumerate() {
            rows.entry(pid).or_default().push(row);
        }
        Self { paths: gallery.paths(), rows }
    }

    /// The first images of a class but one.
    fn strip(&self, caption: String, pid: Pid, without: Option<usize>) -> Strip {
        let rows = self.rows.get(&pid).into_iter().flatten();
        let rows = rows.filter(|&&row| Some(row) != without).take(EXAMPLES);
        Strip { caption, paths: rows.map(|&row| self.paths[row].clone()).collect() }
    }
}

fn strip(caption: &str, images: &[Image]) -> Strip {
    let paths = images.iter().take(EXAMPLES).map(|image| image.path.clone()).collect();
    Strip { caption: caption.to_owned(), paths }
}

fn mislabelled(found: &Mislabelled, members: &Members<'_>) -> Card {
    let Mislabelled { image, suggested, votes, .. } = found;
    let said = if found.confirmed { "confirmed" } else { "not confirmed" };
    Card {
        title: image.path.clone(),
        facts: format!(
            "labelled {}, looks like {} · margin {:.1}% · {said}: of the {} nearest images {} are of \
             that class, {} of its own",
            image.name,
            suggested.name,
            100.0 * found.margin,
            votes.of,
            votes.suggested,
            votes.own
        ),
        strips: vec![
            strip("this", std::slice::from_ref(image)),
            members.strip(format!("labelled {}", image.name), image.pid, Some(image.row)),
            members.strip(format!("looks like {}", suggested.name), suggested.pid, None),
        ],
    }
}

fn outlier(found: &Outlier, members: &Members<'_>) -> Card {
    let Outlier { image, z, own, other } = found;
    let other = other.map_or(String::new(), |other| format!(", {other:.4} to the nearest other"));
    Card {
        title: image.path.clone(),
        facts: format!("z {z:.1} · {own:.4} from the rest of its class{other}"),
        strips: vec![
            strip("this", std::slice::from_ref(image)),
            members.strip(format!("the rest of {}", image.name), image.pid, Some(image.row)),
        ],
    }
}

fn pair(found: &Pair) -> Card {
    let Pair { distance, first, second } = found;
    Card {
        title: format!("{} and {}", first.path, second.path),
        facts: format!("distance {distance:.2e}"),
        strips: [first, second].map(|image| strip(&image.name, std::slice::from_ref(image))).into(),
    }
}

fn merge(found: &Merge, members: &Members<'_>) -> Card {
    let Merge { first, second, distance, overlap } = found;
    let class = |class: &centroids_core::doctor::Class| {
        members.strip(format!("{}, {} images", class.name, class.images), class.pid, None)
    };
    Card {
        title: format!("{} and {}", first.name, second.name),
        facts: format!("overlap {:.0}% · centroids {distance:.4} apart", 100.0 * overlap),
        strips: vec![class(first), class(second)],
    }
}

fn split(found: &Split) -> Card {
    let part = |images: &Vec<Image>| strip(&format!("{} images", images.len()), images);
    let mut strips: Vec<Strip> = found.parts.iter().map(part).collect();
    if !found.set_aside.is_empty() {
        strips.push(strip("neither", &found.set_aside));
    }
    let facts = format!("the split explains {:.0}% of the variance", 100.0 * found.explained);
    Card { title: found.class.name.clone(), facts, strips }
}
