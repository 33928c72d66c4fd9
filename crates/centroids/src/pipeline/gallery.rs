//! A durable gallery: made for a model, filled with images and embedding files, searched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use centroids_core::{Embeddings, Pid};
use centroids_data::ImageRecord;
use centroids_store::{
    AddOptions, Added, ClassRef, ContentHash, Gallery, NewMember, ParquetMembers, Selection,
    Settings,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Images, ModelFile, Unreadable};
use crate::Error;

/// Members that become durable together: a later failure loses none of them.
const BATCH: usize = 256;

/// What all members of one addition have in common.
#[derive(Clone, Debug)]
pub struct Addition {
    /// What filters look at.
    pub attributes: Map<String, Value>,
    /// Their share in the centroids.
    pub weight: f64,
    /// When they were taken.
    pub time: TimeFrom,
    /// What to do with a key that is taken by another embedding.
    pub options: AddOptions,
    /// Take vectors of another model, or of one that is not named.
    pub force: bool,
}

/// Where the time of an image comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFrom {
    /// It has none.
    #[default]
    Nowhere,
    /// The moment it is added.
    Now,
    /// The moment its file was last changed.
    Modified,
}

impl Default for Addition {
    fn default() -> Self {
        Self {
            attributes: Map::new(),
            weight: 1.0,
            time: TimeFrom::default(),
            options: AddOptions::default(),
            force: false,
        }
    }
}

/// What became of an addition.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AddReport {
    /// New members.
    pub added: usize,
    /// Members that took the place of others.
    pub replaced: usize,
    /// Members that were there before.
    pub already_there: usize,
    /// Of these, the ones that are there under another identity than the one given.
    pub under_another_identity: usize,
    /// Images of nobody (pid −1).
    pub junk: usize,
    /// Images that could not be read.
    #[serde(skip)]
    pub unreadable: Vec<Unreadable>,
}

impl AddReport {
    /// Images gone through.
    pub fn seen(&self) -> usize {
        self.added + self.replaced + self.already_there + self.junk + self.unreadable.len()
    }

    fn count(
        &mut self,
        gallery: &dyn Gallery,
        class: &ClassRef,
        added: Added,
    ) -> Result<(), Error> {
        match added {
            Added::Added { .. } => self.added += 1,
            Added::Replaced { .. } => self.replaced += 1,
            Added::Junk => self.junk += 1,
            Added::AlreadyThere { pid, .. } => {
                self.already_there += 1;
                let same = gallery.find_class(class)? == Some(pid);
                self.under_another_identity += usize::from(!same);
            }
        }
        Ok(())
    }
}

/// A gallery for what a model embeds, compared as the model was trained.
///
/// # Errors
/// An unknown distance in the model's settings.
pub fn gallery_settings(model: &ModelFile) -> Result<Settings, Error> {
    let embedder = &model.embedder;
    let path = std::path::absolute(&model.path)
        .map_err(|source| Error::Read { path: model.path.clone(), source })?;
    Ok(Settings {
        model: embedder.fingerprint(),
        model_path: path.to_string_lossy().into_owned(),
        preprocessing: serde_json::to_string(embedder.input()).unwrap_or_default(),
        ..Settings::new(embedder.dim()).with_metric(model.experiment.metric()?)
    })
}

/// Refuses vectors of another model than the gallery's. A model that is not named is no other.
///
/// # Errors
/// [`centroids_store::Error::OtherModel`].
pub fn check_gallery_model(
    gallery: &dyn Gallery,
    what: &Path,
    model: &str,
    force: bool,
) -> Result<(), Error> {
    let ours = &gallery.settings().model;
    if force || model.is_empty() || ours.is_empty() || ours == model {
        return Ok(());
    }
    let (what, theirs) = (what.display().to_string(), model.to_owned());
    Err(centroids_store::Error::OtherModel { what, theirs, ours: ours.clone() }.into())
}

/// Embeds images and adds them, batch by batch; what is in the gallery already is not embedded
/// again, so an addition that was broken off goes on where it was. `progress` is told how many
/// images are done.
///
/// # Errors
/// Another model than the gallery's, or of the gallery; batches that are done stay.
pub fn add_images(
    gallery: &dyn Gallery,
    model: &ModelFile,
    images: &Images,
    addition: &Addition,
    progress: &mut dyn FnMut(usize),
) -> Result<AddReport, Error> {
    let fingerprint = model.embedder.fingerprint();
    check_gallery_model(gallery, &model.path, &fingerprint, addition.force)?;
    let naming = Naming::of(gallery, !images.pid_names.is_empty())?;
    let mut report = AddReport::default();
    for records in images.records.chunks(BATCH) {
        let class =
            |record: &ImageRecord| naming.class(record.pid, images.pid_names.get(&record.pid));
        add_batch(gallery, model, records, (&class, addition), &mut report)?;
        progress(report.seen());
    }
    Ok(report)
}

fn add_batch(
    gallery: &dyn Gallery,
    model: &ModelFile,
    records: &[ImageRecord],
    (class, addition): (&dyn Fn(&ImageRecord) -> ClassRef, &Addition),
    report: &mut AddReport,
) -> Result<(), Error> {
    let mut hashed = Vec::with_capacity(records.len());
    let (junk, images): (Vec<_>, Vec<_>) = records.iter().partition(|r| r.pid == Pid::JUNK);
    report.junk += junk.len();
    for record in images {
        match std::fs::read(&record.path) {
            Ok(bytes) => hashed.push((record, ContentHash::of(&bytes))),
            Err(error) => {
                let reason = format!("cannot read {}: {error}", record.path.display());
                report.unreadable.push(Unreadable { path: record.path.clone(), reason });
            }
        }
    }
    let hashes: Vec<ContentHash> = hashed.iter().map(|(_, hash)| *hash).collect();
    let mut missing = Vec::new();
    for ((record, hash), known) in hashed.into_iter().zip(gallery.known(&hashes)?) {
        match known {
            Some(known) => {
                let there = Added::AlreadyThere { id: known.id, pid: known.pid };
                report.count(gallery, &class(record), there)?;
            }
            None => missing.push((record, hash)),
        }
    }
    let members = embed_members(model, &missing, (class, addition), report)?;
    add_members(gallery, &members, addition.options, report)
}

fn embed_members(
    model: &ModelFile,
    images: &[(&ImageRecord, ContentHash)],
    (class, addition): (&dyn Fn(&ImageRecord) -> ClassRef, &Addition),
    report: &mut AddReport,
) -> Result<Vec<NewMember>, Error> {
    let paths: Arc<[PathBuf]> = images.iter().map(|(record, _)| record.path.clone()).collect();
    let options = model.experiment.embed_options();
    let embedded =
        model.embedder.embed(paths, options, &mut |_| std::ops::ControlFlow::Continue(()));
    report.unreadable.extend(embedded.failures.into_iter().map(|(row, error)| Unreadable {
        path: images[row].0.path.clone(),
        reason: error.to_string(),
    }));
    let rows = embedded.rows.iter().zip(embedded.values.chunks_exact(embedded.dim));
    rows.map(|(&row, vector)| {
        let (record, hash) = images[row];
        Ok(NewMember {
            hash: Some(hash),
            time: time_of(addition.time, Some(&record.path))?,
            weight: addition.weight,
            attributes: addition.attributes.clone(),
            ..NewMember::new(
                record.path.to_string_lossy(),
                class(record),
                record.camid,
                vector.into(),
            )
        })
    })
    .collect()
}

/// Adds the rows of an embedding file; see [`add_images`].
///
/// # Errors
/// Another model than the gallery's, or of the gallery; batches that are done stay.
pub fn add_embeddings(
    gallery: &dyn Gallery,
    file: &Path,
    embeddings: &Embeddings,
    addition: &Addition,
    progress: &mut dyn FnMut(usize),
) -> Result<AddReport, Error> {
    check_gallery_model(gallery, file, embeddings.model(), addition.force)?;
    let naming = Naming::of(gallery, !embeddings.pid_names().is_empty())?;
    let mut report = AddReport::default();
    let rows: Vec<usize> = (0..embeddings.len()).collect();
    let member = |&row: &usize| {
        let pid = embeddings.pids()[row];
        let class = naming.class(pid, embeddings.pid_names().get(&pid));
        let (key, camid) = (embeddings.paths()[row].as_str(), embeddings.camids()[row]);
        Ok(NewMember {
            time: time_of(addition.time, None)?,
            weight: addition.weight,
            attributes: addition.attributes.clone(),
            ..NewMember::new(key, class, camid, embeddings.row(row).to_vec())
        })
    };
    for rows in rows.chunks(BATCH) {
        let members = rows.iter().map(member).collect::<Result<Vec<_>, Error>>()?;
        add_members(gallery, &members, addition.options, &mut report)?;
        progress(report.seen());
    }
    Ok(report)
}

/// Adds the members of a Parquet file, with all that is known of them; see [`add_images`].
///
/// # Errors
/// Another model than the gallery's, a row that is no member, or of the gallery; batches that are
/// done stay.
pub fn add_parquet(
    gallery: &dyn Gallery,
    file: &Path,
    members: ParquetMembers,
    addition: &Addition,
    progress: &mut dyn FnMut(usize),
) -> Result<AddReport, Error> {
    check_gallery_model(gallery, file, &members.model, addition.force)?;
    let mut report = AddReport::default();
    let mut members = members.peekable();
    while members.peek().is_some() {
        let batch: Vec<_> = members.by_ref().take(BATCH).collect::<Result<_, _>>()?;
        let aside = batch.iter().filter(|(_, quarantined)| *quarantined);
        let aside: Vec<String> = aside.map(|(member, _)| member.key.clone()).collect();
        let batch: Vec<NewMember> = batch.into_iter().map(|(member, _)| member).collect();
        add_members(gallery, &batch, addition.options, &mut report)?;
        if !aside.is_empty() {
            gallery.quarantine(&Selection::Keys(aside), true)?;
        }
        progress(report.seen());
    }
    Ok(report)
}

fn add_members(
    gallery: &dyn Gallery,
    members: &[NewMember],
    options: AddOptions,
    report: &mut AddReport,
) -> Result<(), Error> {
    let added = gallery.add(members, options)?;
    members.iter().zip(added).try_for_each(|(m, added)| report.count(gallery, &m.class, added))
}

/// How identities of a set are called in a gallery: as soon as one of both has names, a number is
/// its own name.
struct Naming {
    by_name: bool,
}

impl Naming {
    fn of(gallery: &dyn Gallery, set_has_names: bool) -> Result<Self, Error> {
        Ok(Self { by_name: set_has_names || gallery.has_names()? })
    }

    fn class(&self, pid: Pid, name: Option<&String>) -> ClassRef {
        match (self.by_name && pid != Pid::JUNK, name) {
            (true, Some(name)) => ClassRef::Name(name.clone()),
            (true, None) => ClassRef::Name(pid.to_string()),
            (false, _) => ClassRef::Pid(pid),
        }
    }
}

fn time_of(from: TimeFrom, path: Option<&Path>) -> Result<Option<f64>, Error> {
    let seconds = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    match (from, path) {
        (TimeFrom::Nowhere, _) => Ok(None),
        (TimeFrom::Modified, Some(path)) => {
            let modified = std::fs::metadata(path).and_then(|file| file.modified());
            let modified =
                modified.map_err(|source| Error::Read { path: path.to_owned(), source })?;
            Ok(Some(seconds(modified)))
        }
        (TimeFrom::Now | TimeFrom::Modified, _) => Ok(Some(seconds(SystemTime::now()))),
    }
}
