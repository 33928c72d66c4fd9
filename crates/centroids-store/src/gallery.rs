//! The trait behind which an engine keeps a gallery.

use std::collections::BTreeMap;

use centroids_core::{Embeddings, Pid};
use serde::Serialize;

use crate::approximation::Approximation;
use crate::error::Error;
use crate::member::{Added, ClassRef, ContentHash, Member, MemberId, NewMember};
use crate::part::{Contribution, Part};
use crate::question::{Answer, SearchOptions};
use crate::settings::Settings;

/// A gallery of images that come and go, with a centroid per identity.
///
/// Engines differ in where things lie and in what they can promise, so every operation takes a whole
/// batch, may be repeated after a failure without doing anything twice, and returns only when what
/// it did is as durable as the engine makes it. [`EmbeddedGallery`](crate::EmbeddedGallery) does each
/// call entirely or not at all. A remote engine that cannot says so in its own documentation;
/// [`verify`](Self::verify) finds and mends what it may leave half-done.
pub trait Gallery: Send + Sync {
    /// What was fixed when the gallery was made.
    fn settings(&self) -> &Settings;

    /// Where it is, as it was typed: a path or an address.
    fn location(&self) -> String;

    /// Adds members; what is there already stays as it is and is reported. In the order given, the
    /// batch itself included: a second copy within it is already there.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::NotFinite`], [`Error::Member`] naming the key,
    /// [`Error::Conflict`]: a key that is taken by another embedding; nothing is then added.
    fn add(&self, members: &[NewMember], options: AddOptions) -> Result<Vec<Added>, Error>;

    /// Which of these images are members, `[hashes.len()]`: what need not be embedded again.
    ///
    /// # Errors
    /// Of the engine.
    fn known(&self, hashes: &[ContentHash]) -> Result<Vec<Option<Known>>, Error>;

    /// Takes members out; returns how many there were.
    ///
    /// # Errors
    /// Of the engine. A selection of what is not there is none.
    fn remove(&self, selection: &Selection) -> Result<usize, Error>;

    /// Gives members another identity; returns how many changed it.
    ///
    /// # Errors
    /// [`Error::JunkClass`], or of the engine.
    fn relabel(&self, selection: &Selection, class: &ClassRef) -> Result<usize, Error>;

    /// Makes one identity of several; returns how many members moved.
    ///
    /// # Errors
    /// [`Error::JunkClass`], or of the engine.
    fn merge(&self, classes: &[Pid], into: &ClassRef) -> Result<usize, Error> {
        self.relabel(&Selection::Classes(classes.to_vec()), into)
    }

    /// Keeps members without counting them (`true`), or counts them again (`false`); returns how
    /// many changed.
    ///
    /// # Errors
    /// Of the engine.
    fn quarantine(&self, selection: &Selection, quarantined: bool) -> Result<usize, Error>;

    /// The first `limit` classes above `after`, ascending by pid.
    ///
    /// # Errors
    /// Of the engine.
    fn classes(&self, after: Option<Pid>, limit: usize) -> Result<Vec<ClassInfo>, Error>;

    /// The first `limit` members above `after`, ascending by id; with `of`, of one identity.
    ///
    /// # Errors
    /// Of the engine.
    fn members(
        &self,
        of: Option<Pid>,
        after: Option<MemberId>,
        limit: usize,
    ) -> Result<Vec<Member>, Error>;

    /// The mean of an identity's images that count, `[dim]`, which searches compare with; `None` if
    /// there is none. This is its definition; an engine that keeps sums answers from them.
    ///
    /// # Errors
    /// Of the engine.
    fn centroid(&self, pid: Pid) -> Result<Option<Vec<f64>>, Error> {
        mean_of_members(self, pid)
    }

    /// The class a reference means here, if there is one.
    ///
    /// # Errors
    /// Of the engine.
    fn find_class(&self, class: &ClassRef) -> Result<Option<Pid>, Error>;

    /// The class that a text means here: a name, or else the pid of a class that may have a name.
    ///
    /// # Errors
    /// Of the engine.
    fn class_named(&self, text: &str) -> Result<ClassRef, Error> {
        let named = ClassRef::Name(text.to_owned());
        match text.parse::<i64>() {
            Ok(pid) if self.find_class(&named)?.is_none() => Ok(ClassRef::Pid(Pid(pid))),
            _ => Ok(named),
        }
    }

    /// Whether a class has a name that is not its number.
    ///
    /// # Errors
    /// Of the engine.
    fn has_names(&self) -> Result<bool, Error>;

    /// The nearest images or identities of each query, `[dim]` each.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::NotFinite`], and of [`SearchOptions::check`].
    fn search(&self, queries: &[&[f32]], options: &SearchOptions) -> Result<Vec<Answer>, Error>;

    /// How the last search was approximate; `None` if it was exact.
    fn approximation(&self) -> Option<Approximation> {
        None
    }

    /// Counts.
    ///
    /// # Errors
    /// Of the engine.
    fn stats(&self) -> Result<Stats, Error>;

    /// Compares every sum with its members, and with `repair` makes sums anew where they differ.
    ///
    /// # Errors
    /// Of the engine. What is wrong with the gallery is in the result.
    fn verify(&self, repair: bool) -> Result<Verification, Error>;

    /// Does now what the first search would otherwise wait for.
    ///
    /// # Errors
    /// Of the engine.
    fn warm(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Gives the space of what was removed back, where the engine does not do so by itself.
    ///
    /// # Errors
    /// Of the engine.
    fn compact(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The members that count, ascending by id, with everything an embedding file can hold: times,
    /// weights, hashes, attributes and what is quarantined are not in it.
    ///
    /// # Errors
    /// Of the engine.
    fn to_embeddings(&self) -> Result<Embeddings, Error> {
        let (mut values, mut pids, mut cameras, mut keys) = (vec![], vec![], vec![], vec![]);
        let (mut names, mut after) = (BTreeMap::new(), None);
        loop {
            let page = self.members(None, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for member in page.into_iter().filter(|member| !member.quarantined) {
                values.extend(member.embedding);
                pids.push(member.pid);
                cameras.push(member.camid);
                keys.push(member.key);
                names.extend(member.name.map(|name| (member.pid, name)));
            }
        }
        let settings = self.settings();
        Ok(Embeddings::new(settings.dim, values, pids, cameras, keys)?
            .with_model(settings.model.clone())
            .with_model_path(settings.model_path.clone())
            .with_pid_names(names))
    }
}

/// Members of a page where all of them are gone through.
const PAGE: usize = 4096;

fn mean_of_members(gallery: &(impl Gallery + ?Sized), pid: Pid) -> Result<Option<Vec<f64>>, Error> {
    let settings = gallery.settings();
    let (mut part, mut after) = (Part::empty(settings.dim), None);
    loop {
        let members = gallery.members(Some(pid), after, PAGE)?;
        let Some(last) = members.last() else {
            return Ok((part.members > 0).then(|| part.mean()));
        };
        after = Some(last.id);
        for member in members.into_iter().filter(|member| !member.quarantined) {
            let about = (member.key.as_str(), member.time);
            let image = Contribution::new(settings, member.embedding, member.weight, about)?;
            part.count(&image, 1);
        }
    }
}

/// How [`Gallery::add`] treats what it meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddOptions {
    /// A key that is taken by another embedding.
    pub on_conflict: OnConflict,
}

/// What to do with a key that is taken by another embedding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Add nothing of the batch.
    #[default]
    Refuse,
    /// Put the new one in the place of the old.
    Replace,
}

/// A member that an image is already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub id: MemberId,
    /// Its identity.
    pub pid: Pid,
}

/// Which members are meant. What is not there is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// By number.
    Ids(Vec<MemberId>),
    /// By path or external key.
    Keys(Vec<String>),
    /// All of these identities.
    Classes(Vec<Pid>),
}

/// An identity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassInfo {
    /// Its number.
    pub pid: Pid,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Images that count.
    pub members: usize,
    /// Images that are kept but do not count.
    pub quarantined: usize,
    /// Known cameras of the images that count.
    pub cameras: usize,
}

/// Counts of a gallery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Identities, those whose images are all quarantined included.
    pub classes: usize,
    /// Images that count.
    pub members: usize,
    /// Images that are kept but do not count.
    pub quarantined: usize,
    /// Known cameras.
    pub cameras: usize,
    /// Sums, one per identity and camera.
    pub parts: usize,
    /// Bytes on the disk, where the engine knows them.
    pub bytes: Option<u64>,
    /// Grows with every change.
    pub revision: i64,
}

/// What [`Gallery::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Members looked at.
    pub members: usize,
    /// Sums compared with their members.
    pub parts: usize,
    /// Largest difference of a sum from that of its members, relative to the sum of their lengths.
    pub largest_difference: f64,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
    /// Classes whose sums were made anew.
    pub repaired: usize,
}

impl Verification {
    /// Problems that are named; of the others it is said how many they are.
    const NAMED: usize = 20;

    /// Shortens the list of problems to those that are named.
    pub(crate) fn name_some(&mut self) {
        let more = self.problems.len().saturating_sub(Self::NAMED);
        if more > 0 {
            self.problems.truncate(Self::NAMED);
            self.problems.push(format!("and {more} more"));
        }
    }

    /// Whether nothing is wrong, or nothing any more.
    pub fn sound(&self) -> bool {
        self.problems.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmbeddedGallery;

    #[test]
    fn a_centroid_of_sums_is_the_mean_of_the_members_that_count() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { half_life: Some(10.0), ..Settings::new(2) };
        let gallery = EmbeddedGallery::create(&folder.path().join("a.gallery"), &settings).unwrap();
        let member = |key, time, vector: [f32; 2]| NewMember {
            time: Some(time),
            ..NewMember::new(key, Pid(1), None, vector.to_vec())
        };
        // The second counts twice, being a half-life younger; the third is taken out.
        let members = [
            member("a", 0.0, [3.0, 0.0]),
            member("b", 10.0, [0.0, 6.0]),
            member("c", 0.0, [9.0; 2]),
        ];
        gallery.add(&members, AddOptions::default()).unwrap();
        gallery.quarantine(&Selection::Keys(vec!["c".to_owned()]), true).unwrap();
        assert_eq!(mean_of_members(&gallery, Pid(1)).unwrap(), Some(vec![1.0, 4.0]));
        assert_eq!(gallery.centroid(Pid(1)).unwrap(), Some(vec![1.0, 4.0]));
        assert_eq!(gallery.centroid(Pid(2)).unwrap(), None);
        assert_eq!(mean_of_members(&gallery, Pid(2)).unwrap(), None);
    }
}
