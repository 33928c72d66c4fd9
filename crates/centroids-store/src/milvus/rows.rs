//! What lies on the server: three kinds of rows, their columns, and how they come back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use milvus::v2::prelude::{CollectionSchema, DataType, FieldData, FieldSchema, QueryResults};
use serde_json::{Map, Value};

use crate::precision::{decode_f64, encode_f64};
use crate::settings::Settings;

/// The longest text of a column.
pub(super) const MAX_TEXT: usize = 65_535;

/// Cameras of an identity: what an array holds.
pub(super) const MAX_CAMERAS: usize = 4096;

/// Above it base64 of the `f64` sums is longer than a text may be.
pub(super) const MAX_DIM: usize = MAX_TEXT / 4 * 3 / 8;

/// The least dimensions that every server takes; shorter vectors get zeros behind.
const MIN_DIM: usize = 2;

/// A row of one of the collections.
pub(super) trait Row: Sized {
    /// What the collection's name ends with.
    const SUFFIX: &'static str;

    /// All columns, but for the vector where it is made anew from others.
    const FIELDS: &'static [&'static str];

    fn schema(dim: usize) -> CollectionSchema;

    fn columns(rows: &[Self]) -> Vec<FieldData>;

    /// `None` if a column is not what it must be.
    fn read(columns: &Columns<'_>, row: usize) -> Option<Self>;

    /// The filter that lets rows behind this one pass.
    fn behind(&self) -> String;
}

/// An image.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MemberRow {
    /// Follows from the key.
    pub(super) id: i64,
    pub(super) key: String,
    /// Hexadecimal; empty if unknown.
    pub(super) hash: String,
    pub(super) pid: i64,
    /// −1 is an unknown one.
    pub(super) camid: i64,
    pub(super) weight: f64,
    pub(super) quarantined: bool,
    pub(super) time: Option<f64>,
    pub(super) attributes: Map<String, Value>,
    /// `[dim]`.
    pub(super) vector: Vec<f32>,
}

/// A centroid: of all images of an identity, or of those that one camera did not take.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CentroidRow {
    pub(super) pid: i64,
    /// The camera that is left out; −1: none is.
    pub(super) without: i64,
    pub(super) name: String,
    /// Cameras of its images, −1 among them if some are unknown.
    pub(super) cameras: Vec<i64>,
    pub(super) members: i64,
    pub(super) weight: f64,
    /// `[dim]`: Σ weight × embedding.
    pub(super) sum: Vec<f64>,
    /// `[dim]`: the mean as it is compared, in single precision.
    pub(super) vector: Vec<f32>,
}

/// An identity, or the counter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ClassRow {
    pub(super) pid: i64,
    /// Empty if the pid is the name.
    pub(super) name: String,
    /// Its members may have changed since its centroids were made: the note that a change leaves
    /// before it begins and takes away when it is done.
    pub(super) stale: bool,
    pub(super) members: i64,
    pub(super) quarantined: i64,
    /// Cameras of the members that count, −1 among them if some are unknown.
    pub(super) cameras: Vec<i64>,
    /// Of the counter: the highest pid there ever was.
    pub(super) highest: i64,
    /// Of the counter: the number of the last change.
    pub(super) revision: i64,
}

/// Pid of the row that counts; no identity may have it or a lower one.
pub(super) const COUNTER: i64 = -(1 << 62);

impl Row for MemberRow {
    const SUFFIX: &'static str = "members";
    const FIELDS: &'static [&'static str] =
        &["id", "key", "hash", "pid", "camid", "weight", "quarantined", "about", "vector"];

    fn schema(dim: usize) -> CollectionSchema {
        CollectionSchema::new()
            .add_field(field("id", DataType::Int64).primary_key(true))
            .add_field(text("key"))
            .add_field(text("hash"))
            .add_field(field("pid", DataType::Int64))
            .add_field(field("camid", DataType::Int64))
            .add_field(field("weight", DataType::Double))
            .add_field(field("quarantined", DataType::Bool))
            .add_field(text("about"))
            .add_field(vector(dim))
    }

    fn columns(rows: &[Self]) -> Vec<FieldData> {
        vec![
            FieldData::int64("id", column(rows, |row| row.id)),
            FieldData::varchar("key", column(rows, |row| row.key.clone())),
            FieldData::varchar("hash", column(rows, |row| row.hash.clone())),
            FieldData::int64("pid", column(rows, |row| row.pid)),
            FieldData::int64("camid", column(rows, |row| row.camid)),
            FieldData::double("weight", column(rows, |row| row.weight)),
            FieldData::boolean("quarantined", column(rows, |row| row.quarantined)),
            FieldData::varchar("about", column(rows, Self::about)),
            FieldData::float_vector("vector", column(rows, |row| padded(&row.vector))),
        ]
    }

    fn read(columns: &Columns<'_>, row: usize) -> Option<Self> {
        let about: Value = serde_json::from_str(columns.text("about", row)?).ok()?;
        Some(Self {
            id: columns.integer("id", row)?,
            key: columns.text("key", row)?.to_owned(),
            hash: columns.text("hash", row)?.to_owned(),
            pid: columns.integer("pid", row)?,
            camid: columns.integer("camid", row)?,
            weight: columns.real("weight", row)?,
            quarantined: columns.truth("quarantined", row)?,
            time: about.get("time")?.as_f64(),
            attributes: about.get("attributes")?.as_object()?.clone(),
            vector: columns.vector("vector", row)?,
        })
    }

    fn behind(&self) -> String {
        format!("id > {}", self.id)
    }
}

impl MemberRow {
    /// What is in no column of its own, as JSON.
    pub(super) fn about(&self) -> String {
        serde_json::json!({ "time": self.time, "attributes": self.attributes }).to_string()
    }
}

impl Row for CentroidRow {
    const SUFFIX: &'static str = "centroids";
    const FIELDS: &'static [&'static str] =
        &["id", "pid", "without", "name", "cameras", "members", "weight", "sum", "vector"];

    fn schema(dim: usize) -> CollectionSchema {
        CollectionSchema::new()
            .add_field(text("id").max_length(64).primary_key(true))
            .add_field(field("pid", DataType::Int64))
            .add_field(field("without", DataType::Int64))
            .add_field(text("name"))
            .add_field(
                field("cameras", DataType::Array)
                    .element_type(DataType::Int64)
                    .max_capacity(MAX_CAMERAS as u32),
            )
            .add_field(field("members", DataType::Int64))
            .add_field(field("weight", DataType::Double))
            .add_field(text("sum"))
            .add_field(vector(dim))
    }

    fn columns(rows: &[Self]) -> Vec<FieldData> {
        vec![
            FieldData::varchar("id", column(rows, Self::id)),
            FieldData::int64("pid", column(rows, |row| row.pid)),
            FieldData::int64("without", column(rows, |row| row.without)),
            FieldData::varchar("name", column(rows, |row| row.name.clone())),
            FieldData::array_int64("cameras", column(rows, |row| row.cameras.clone())),
            FieldData::int64("members", column(rows, |row| row.members)),
            FieldData::double("weight", column(rows, |row| row.weight)),
            FieldData::varchar("sum", column(rows, |row| STANDARD.encode(encode_f64(&row.sum)))),
            FieldData::float_vector("vector", column(rows, |row| padded(&row.vector))),
        ]
    }

    fn read(columns: &Columns<'_>, row: usize) -> Option<Self> {
        let sum = STANDARD.decode(columns.text("sum", row)?).ok()?;
        Some(Self {
            pid: columns.integer("pid", row)?,
            without: columns.integer("without", row)?,
            name: columns.text("name", row)?.to_owned(),
            cameras: columns.field("cameras")?.as_array_int64()?.get(row)?.clone(),
            members: columns.integer("members", row)?,
            weight: columns.real("weight", row)?,
            sum: decode_f64(&sum, columns.dim)?,
            // Searches do not ask for it: they compare the sum.
            vector: columns.vector("vector", row).unwrap_or_default(),
        })
    }

    fn behind(&self) -> String {
        format!("id > \"{}\"", self.id())
    }
}

impl CentroidRow {
    /// What a search needs.
    pub(super) const FOUND: &'static [&'static str] =
        &["pid", "without", "name", "cameras", "members", "weight", "sum"];

    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.pid, self.without)
    }

    /// The mean, `[dim]`.
    pub(super) fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|sum| sum / self.weight).collect()
    }
}

impl Row for ClassRow {
    const SUFFIX: &'static str = "classes";
    const FIELDS: &'static [&'static str] =
        &["pid", "name", "stale", "members", "quarantined", "cameras", "highest", "revision"];

    /// A collection must have a vector: this one says nothing.
    fn schema(_: usize) -> CollectionSchema {
        CollectionSchema::new()
            .add_field(field("pid", DataType::Int64).primary_key(true))
            .add_field(text("name"))
            .add_field(field("stale", DataType::Bool))
            .add_field(field("members", DataType::Int64))
            .add_field(field("quarantined", DataType::Int64))
            .add_field(text("cameras"))
            .add_field(field("highest", DataType::Int64))
            .add_field(field("revision", DataType::Int64))
            .add_field(vector(MIN_DIM))
    }

    fn columns(rows: &[Self]) -> Vec<FieldData> {
        let cameras = |row: &Self| serde_json::json!(row.cameras).to_string();
        vec![
            FieldData::int64("pid", column(rows, |row| row.pid)),
            FieldData::varchar("name", column(rows, |row| row.name.clone())),
            FieldData::boolean("stale", column(rows, |row| row.stale)),
            FieldData::int64("members", column(rows, |row| row.members)),
            FieldData::int64("quarantined", column(rows, |row| row.quarantined)),
            FieldData::varchar("cameras", column(rows, cameras)),
            FieldData::int64("highest", column(rows, |row| row.highest)),
            FieldData::int64("revision", column(rows, |row| row.revision)),
            FieldData::float_vector("vector", column(rows, |_| vec![0.0; MIN_DIM])),
        ]
    }

    fn read(columns: &Columns<'_>, row: usize) -> Option<Self> {
        Some(Self {
            pid: columns.integer("pid", row)?,
            name: columns.text("name", row)?.to_owned(),
            stale: columns.truth("stale", row)?,
            members: columns.integer("members", row)?,
            quarantined: columns.integer("quarantined", row)?,
            cameras: serde_json::from_str(columns.text("cameras", row)?).ok()?,
            highest: columns.integer("highest", row)?,
            revision: columns.integer("revision", row)?,
        })
    }

    fn behind(&self) -> String {
        format!("pid > {}", self.pid)
    }
}

impl ClassRow {
    /// The name, if it is not the pid.
    pub(super) fn name(&self) -> Option<String> {
        named(&self.name)
    }
}

/// A name, if there is one.
pub(super) fn named(name: &str) -> Option<String> {
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// Columns as a server sends them.
pub(super) struct Columns<'a> {
    fields: &'a [FieldData],
    dim: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn new(fields: &'a [FieldData], settings: &Settings) -> Self {
        Self { fields, dim: settings.dim }
    }

    fn field(&self, name: &str) -> Option<&'a FieldData> {
        self.fields.iter().find(|field| field.name() == name)
    }

    pub(super) fn integer(&self, name: &str, row: usize) -> Option<i64> {
        self.field(name)?.as_int64()?.get(row).copied()
    }

    fn real(&self, name: &str, row: usize) -> Option<f64> {
        self.field(name)?.as_double()?.get(row).copied()
    }

    fn truth(&self, name: &str, row: usize) -> Option<bool> {
        self.field(name)?.as_bool()?.get(row).copied()
    }

    pub(super) fn text(&self, name: &str, row: usize) -> Option<&'a str> {
        self.field(name)?.as_varchar()?.get(row).map(String::as_str)
    }

    /// `[dim]`, without what it was padded with.
    fn vector(&self, name: &str, row: usize) -> Option<Vec<f32>> {
        let vector = self.field(name)?.as_float_vectors()?.get(row)?;
        vector.get(..self.dim).map(<[f32]>::to_vec)
    }
}

/// Rows of an answer; `None` if they are not whole.
pub(super) fn read_all<R: Row>(results: &QueryResults, settings: &Settings) -> Option<Vec<R>> {
    let columns = Columns::new(results.get_output_fields(), settings);
    (0..results.get_row_count() as usize).map(|row| R::read(&columns, row)).collect()
}

/// A vector with zeros behind it, where it is too short for a server.
pub(super) fn padded(vector: &[f32]) -> Vec<f32> {
    let mut padded = vector.to_vec();
    padded.resize(vector.len().max(MIN_DIM), 0.0);
    padded
}

fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn field(name: &str, kind: DataType) -> FieldSchema {
    FieldSchema::new().name(name).data_type(kind)
}

fn text(name: &str) -> FieldSchema {
    field(name, DataType::VarChar).max_length(MAX_TEXT as u32)
}

fn vector(dim: usize) -> FieldSchema {
    field("vector", DataType::FloatVector).dimension(dim.max(MIN_DIM) as u32)
}
