//! Members as a Parquet file, for the rest of the world.
//!
//! | column | type | |
//! | --- | --- | --- |
//! | `key` | text | path or external key |
//! | `pid` | i64 | |
//! | `name` | text, optional | name of the identity |
//! | `camid` | i64, optional | |
//! | `time` | f64, optional | seconds since 1970 |
//! | `weight` | f64 | |
//! | `quarantined` | bool | |
//! | `attributes` | text | JSON object |
//! | `sha256` | text, optional | of the image file, hexadecimal |
//! | `embedding` | list of f32 | |
//!
//! The file's metadata holds `centroids.model` and `centroids.model_path`. Of other programs' files
//! `embedding` and `pid` or `name` must be there, and `key` or `path`; columns that are absent count
//! as empty.

use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use centroids_core::{CamId, Pid, write_atomically};
use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::gallery::Gallery;
use crate::member::{ClassRef, ContentHash, Member, NewMember};
use crate::settings::Settings;

const SCHEMA: &str = "message gallery {
    required binary key (UTF8);
    required int64 pid;
    optional binary name (UTF8);
    optional int64 camid;
    optional double time;
    required double weight;
    required boolean quarantined;
    required binary attributes (UTF8);
    optional binary sha256 (UTF8);
    required group embedding (LIST) { repeated group list { required float element; } }
}";

/// Members of a row group: what is in memory at a time.
const GROUP: usize = 4096;

/// Writes all members of a gallery, ascending by id; an older file stays whole until the new one is
/// complete. Returns how many they are.
///
/// # Errors
/// [`Error::Open`], or of the gallery.
pub fn write_parquet(gallery: &dyn Gallery, path: &Path) -> Result<usize, Error> {
    let mut count = 0;
    let mut failed = None;
    let written = write_atomically(path, |out| {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(io::Error::other)?);
        let properties = Arc::new(properties(gallery.settings()));
        let mut writer = SerializedFileWriter::new(Forward(out), schema, properties)
            .map_err(io::Error::other)?;
        let mut after = None;
        loop {
            let members = gallery.members(None, after, GROUP).map_err(|error| {
                failed = Some(error);
                io::Error::other("the gallery cannot be read")
            })?;
            let Some(last) = members.last() else { break };
            after = Some(last.id);
            count += members.len();
            let mut group = writer.next_row_group().map_err(io::Error::other)?;
            write_group(&mut group, &members).map_err(io::Error::other)?;
            group.close().map_err(io::Error::other)?;
        }
        writer.close().map(drop).map_err(io::Error::other)
    });
    match (written, failed) {
        (_, Some(error)) => Err(error),
        (Err(source), None) => Err(Error::Write { path: path.to_owned(), source }),
        (Ok(()), None) => Ok(count),
    }
}

/// The library wants a writer that it may send to another thread; this one stays here.
struct Forward<'a>(&'a mut dyn Write);

// SAFETY: `SerializedFileWriter` asks for `Send` but starts no thread; the writer does not leave the
// function that made it.
unsafe impl Send for Forward<'_> {}

impl Write for Forward<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn properties(settings: &Settings) -> WriterProperties {
    let pair = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(vec![
            pair("centroids.model", &settings.model),
            pair("centroids.model_path", &settings.model_path),
        ]))
        .build()
}

fn write_group<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    members: &[Member],
) -> Result<(), ParquetError> {
    let text = |text: &str| ByteArray::from(text);
    let attributes = |member: &Member| Value::Object(member.attributes.clone()).to_string();
    required::<ByteArrayType, _>(group, members, |m| text(&m.key))?;
    required::<Int64Type, _>(group, members, |m| m.pid.0)?;
    optional::<ByteArrayType, _>(group, members, |m| m.name.as_deref().map(text))?;
    optional::<Int64Type, _>(group, members, |m| m.camid.map(|camid| camid.0.into()))?;
    optional::<DoubleType, _>(group, members, |m| m.time)?;
    required::<DoubleType, _>(group, members, |m| m.weight)?;
    required::<BoolType, _>(group, members, |m| m.quarantined)?;
    required::<ByteArrayType, _>(group, members, |m| text(&attributes(m)))?;
    optional::<ByteArrayType, _>(group, members, |m| m.hash.map(|hash| text(&hash.to_string())))?;
    // A list: level 0 begins one, level 1 goes on with it; all numbers are there.
    let values: Vec<f32> = members.iter().flat_map(|member| &member.embedding).copied().collect();
    let begins = |member: &Member| (0..member.embedding.len()).map(|i| i16::from(i > 0));
    let repetition: Vec<i16> = members.iter().flat_map(begins).collect();
    let definition = vec![1; values.len()];
    column::<FloatType, _>(group, &values, Some(&definition), Some(&repetition))
}

fn required<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    members: &[Member],
    value: impl Fn(&Member) -> T::T,
) -> Result<(), ParquetError> {
    let values: Vec<T::T> = members.iter().map(value).collect();
    column::<T, W>(group, &values, None, None)
}

fn optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    members: &[Member],
    value: impl Fn(&Member) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<T::T>> = members.iter().map(value).collect();
    let definition: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column::<T, W>(group, &values, Some(&definition), None)
}

fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    definition: Option<&[i16]>,
    repetition: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("one column too many".into()))?;
    column.typed::<T>().write_batch(values, definition, repetition)?;
    column.close()
}

/// A Parquet file of members, read one by one.
pub struct ParquetMembers {
    /// What made the embeddings; empty if the file does not say.
    pub model: String,
    /// The file of that model; empty if the file does not say.
    pub model_path: String,
    /// How many members there are.
    pub len: usize,
    path: std::path::PathBuf,
    rows: parquet::record::reader::RowIter<'static>,
    row: usize,
    /// Nothing comes after an error.
    broken: bool,
}

/// A member of a file, and whether it is to be set aside.
pub type ParquetMember = (NewMember, bool);

impl ParquetMembers {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::BadFile`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file =
            File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
        let bad = |error: ParquetError| Error::BadFile {
            path: path.to_owned(),
            reason: format!("not a Parquet file that can be read ({error})"),
        };
        let bytes = file.metadata().map_or(0, |file| file.len());
        let reader = guarded(|| SerializedFileReader::new(file)).map_err(bad)?;
        check_places(reader.metadata(), bytes).map_err(bad)?;
        let metadata = reader.metadata().file_metadata();
        let pairs = metadata.key_value_metadata().cloned().unwrap_or_default();
        let value = |key: &str| {
            let pair = pairs.iter().find(|pair| pair.key == key);
            pair.and_then(|pair| pair.value.clone()).unwrap_or_default()
        };
        Ok(Self {
            model: value("centroids.model"),
            model_path: value("centroids.model_path"),
            len: usize::try_from(metadata.num_rows()).unwrap_or(0),
            path: path.to_owned(),
            rows: parquet::record::reader::RowIter::from_file_into(Box::new(reader)),
            row: 0,
            broken: false,
        })
    }

    fn bad(&self, reason: String) -> Error {
        Error::BadFile { path: self.path.clone(), reason: format!("row {}: {reason}", self.row) }
    }

    fn member(&self, row: &Row) -> Result<ParquetMember, Error> {
        let (mut key, mut pid, mut name, mut quarantined) = (None, None, None, false);
        let mut new = NewMember::new("", Pid::JUNK, None, Vec::new());
        for (column, field) in row.get_column_iter() {
            let wrong = || self.bad(format!("`{column}` holds {field}"));
            match (column.as_str(), field) {
                (_, Field::Null) => {}
                ("key" | "path", Field::Str(text)) => key = Some(text.clone()),
                ("name", Field::Str(text)) => name = Some(text.clone()),
                ("pid", field) => pid = Some(Pid(whole(field).ok_or_else(wrong)?)),
                ("camid", field) => {
                    let number = whole(field).filter(|&number| number >= -1).ok_or_else(wrong)?;
                    new.camid = u32::try_from(number).ok().map(CamId);
                }
                ("time", field) => new.time = Some(real(field).ok_or_else(wrong)?),
                ("weight", field) => new.weight = real(field).ok_or_else(wrong)?,
                ("quarantined", Field::Bool(value)) => quarantined = *value,
                ("attributes", Field::Str(text)) => {
                    new.attributes =
                        serde_json::from_str::<Map<String, Value>>(text).map_err(|_| wrong())?;
                }
                ("sha256", Field::Str(text)) => {
                    new.hash = Some(ContentHash::parse(text).ok_or_else(wrong)?);
                }
                ("embedding", Field::ListInternal(list)) => {
                    let numbers = list.elements().iter().map(|field| Some(real(field)? as f32));
                    new.embedding = numbers.collect::<Option<_>>().ok_or_else(wrong)?;
                }
                (
                    "key" | "path" | "name" | "quarantined" | "attributes" | "sha256" | "embedding",
                    _,
                ) => {
                    return Err(wrong());
                }
                _ => {}
            }
        }
        new.key = key.ok_or_else(|| self.bad("there is no `key` and no `path`".to_owned()))?;
        new.class = match (name, pid) {
            (Some(name), _) => ClassRef::Name(name),
            (None, Some(pid)) => ClassRef::Pid(pid),
            (None, None) => return Err(self.bad("there is no `pid` and no `name`".to_owned())),
        };
        Ok((new, quarantined))
    }
}

impl Iterator for ParquetMembers {
    type Item = Result<ParquetMember, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let row = match guarded(|| self.rows.next().transpose()) {
            Ok(row) => self.member(&row?),
            Err(error) => {
                self.broken = true;
                Err(self.bad(error.to_string()))
            }
        };
        self.row += 1;
        Some(row)
    }
}

/// Refuses columns that lie outside of the file: the library counts on their places.
fn check_places(metadata: &ParquetMetaData, bytes: u64) -> Result<(), ParquetError> {
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
        let end = end.and_then(|(start, length)| start.checked_add(length));
        if end.is_none_or(|end| end > bytes) || column.data_page_offset() < 0 {
            return Err(ParquetError::General("a column lies outside of the file".to_owned()));
        }
    }
    Ok(())
}

/// The library panics on some damaged files; here that is an error like the others.
fn guarded<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    // What a panic may have left half-done is dropped by the caller.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(ParquetError::General("it contradicts itself".to_owned())))
}

fn whole(field: &Field) -> Option<i64> {
    match *field {
        Field::Byte(value) => Some(value.into()),
        Field::Short(value) => Some(value.into()),
        Field::Int(value) => Some(value.into()),
        Field::Long(value) => Some(value),
        Field::UInt(value) => Some(value.into()),
        Field::ULong(value) => value.try_into().ok(),
        _ => None,
    }
}

fn real(field: &Field) -> Option<f64> {
    match *field {
        Field::Float(value) => Some(value.into()),
        Field::Double(value) => Some(value),
        ref other => whole(other).map(|value| value as f64),
    }
}
