//! A gallery's three collections: made, opened, read page by page, written in batches.

use milvus::v2::prelude::{ConsistencyLevel, IndexParam, IndexType, MetricType};
use serde::{Deserialize, Serialize};

use centroids_core::Distance;

use super::address::Address;
use super::rows::{CentroidRow, ClassRow, Columns, MAX_DIM, MemberRow, Row, read_all};
use super::server::{Server, Wanted};
use crate::error::Error;
use crate::settings::{FORMAT_VERSION, Settings};

/// Rows that a server gives or finds at a time, at most.
pub(super) const MAX_ROWS: usize = 16_384;

/// Bytes of a request or an answer, roughly; servers refuse 64 MiB.
const BYTES: usize = 8 << 20;

/// Values that a filter lists.
pub(super) const LISTED: usize = 1024;

/// A gallery's collections on a server.
pub(super) struct Shelf {
    pub(super) server: Server,
    pub(super) settings: Settings,
}

/// The description of a collection: whose it is, and of the last one made all settings.
#[derive(Deserialize, Serialize)]
struct Label {
    /// Format of a gallery of centroids.
    centroids_gallery: u32,
    settings: Settings,
}

impl Shelf {
    /// Makes the collections. The one that is made last says that all are there.
    pub(super) fn create(address: Address, settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        if settings.dim > MAX_DIM {
            let reason = format!("{} is more than the {MAX_DIM} of Milvus", settings.dim);
            return Err(Error::Setting { key: "dim", reason });
        }
        let server = Server::connect(address)?;
        let shelf = Self { server, settings: settings.clone() };
        let path = || shelf.server.address.text.clone().into();
        if shelf.server.has(&shelf.collection::<ClassRow>())? {
            shelf.label()?;
            return Err(Error::Exists { path: path() });
        }
        let metric = match shelf.by_angle() {
            true => MetricType::Cosine,
            false => MetricType::L2,
        };
        let compared = match settings.distance {
            Distance::Cosine => MetricType::Ip,
            Distance::SquaredEuclidean => MetricType::L2,
        };
        shelf.make::<MemberRow>(metric)?;
        shelf.make::<CentroidRow>(compared)?;
        shelf.make::<ClassRow>(MetricType::L2)?;
        shelf.load()?;
        Ok(shelf)
    }

    /// Finds the collections and what they say of themselves.
    pub(super) fn open(address: Address) -> Result<Self, Error> {
        let path = address.text.clone().into();
        // Replaced by what the label says, before anybody sees it.
        let mut shelf = Self { server: Server::connect(address)?, settings: Settings::new(1) };
        if !shelf.server.has(&shelf.collection::<ClassRow>())? {
            return Err(Error::Missing { path });
        }
        shelf.settings = shelf.label()?;
        shelf.load()?;
        Ok(shelf)
    }

    /// Takes the collections off the server, the one that says that all are there first.
    pub(super) fn erase(&self) -> Result<(), Error> {
        self.server.drop(&self.collection::<ClassRow>())?;
        self.server.drop(&self.collection::<CentroidRow>())?;
        self.server.drop(&self.collection::<MemberRow>())
    }

    /// Whether images are compared by the angle between them.
    pub(super) fn by_angle(&self) -> bool {
        self.settings.normalize || self.settings.distance == Distance::Cosine
    }

    fn make<R: Row>(&self, metric: MetricType) -> Result<(), Error> {
        let collection = self.collection::<R>();
        if self.server.has(&collection)? {
            // Left behind by a creation that was broken off, unless it is somebody else's.
            self.label_of(&collection)?;
            self.server.drop(&collection)?;
        }
        let label = Label { centroids_gallery: FORMAT_VERSION, settings: self.settings.clone() };
        let label = serde_json::to_string(&label)
            .map_err(|error| Error::Setting { key: "settings", reason: error.to_string() })?;
        let schema = R::schema(self.settings.dim).description(label);
        self.server.create(&collection, &schema, &index(metric))
    }

    /// All three at once, then waits for each.
    fn load(&self) -> Result<(), Error> {
        let collections = [
            self.collection::<MemberRow>(),
            self.collection::<CentroidRow>(),
            self.collection::<ClassRow>(),
        ];
        for sync in [false, true] {
            collections.iter().try_for_each(|name| self.server.load(name, sync))?;
        }
        Ok(())
    }

    fn label(&self) -> Result<Settings, Error> {
        self.label_of(&self.collection::<ClassRow>())
    }

    fn label_of(&self, collection: &str) -> Result<Settings, Error> {
        let schema = self.server.schema(collection)?;
        let path = self.server.address.text.clone().into();
        let value: Option<serde_json::Value> = serde_json::from_str(schema.get_description()).ok();
        let format = value.as_ref().and_then(|label| label.get("centroids_gallery")?.as_u64());
        let Some(format) = format else {
            let what = "another program's collections";
            return Err(Error::NotAGallery { path, what });
        };
        if format > FORMAT_VERSION.into() {
            let found = u32::try_from(format).unwrap_or(u32::MAX);
            return Err(Error::Newer { path, found });
        }
        let label: Result<Label, _> = serde_json::from_str(schema.get_description());
        let unreadable = |error| self.server.malformed(&format!("its settings, {error}"));
        Ok(label.map_err(unreadable)?.settings)
    }

    /// Full name of a collection.
    pub(super) fn collection<R: Row>(&self) -> String {
        format!("{}_{}", self.server.address.name, R::SUFFIX)
    }

    /// Rows of a request.
    pub(super) fn batch(&self) -> usize {
        (BYTES / (16 * self.settings.dim + 512)).clamp(1, MAX_ROWS)
    }

    /// As it is now, whatever the address says: what a change is made from.
    pub(super) fn now<R: Row>(&self, filter: &str) -> Result<Vec<R>, Error> {
        let mut rows = Vec::new();
        self.each_page(filter, ConsistencyLevel::Strong, usize::MAX, |page: Vec<R>| {
            rows.extend(page);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Up to `limit` rows that pass the filter, as the address wants it, ascending by key.
    pub(super) fn some<R: Row>(&self, filter: &str, limit: usize) -> Result<Vec<R>, Error> {
        let mut rows = Vec::new();
        self.each_page(filter, self.server.address.consistency, limit, |page: Vec<R>| {
            rows.extend(page);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Hands all rows that pass the filter to `take`, ascending by key, page by page.
    pub(super) fn each_page<R: Row>(
        &self,
        filter: &str,
        consistency: ConsistencyLevel,
        limit: usize,
        mut take: impl FnMut(Vec<R>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let collection = self.collection::<R>();
        let (mut left, mut behind) = (limit, None::<String>);
        while left > 0 {
            let filter = match &behind {
                None => filter.to_owned(),
                Some(behind) if filter.is_empty() => behind.to_string(),
                Some(behind) => format!("({filter}) and {behind}"),
            };
            let limit = left.min(self.batch());
            let wanted = Wanted {
                collection: &collection,
                filter: &filter,
                fields: R::FIELDS,
                limit,
                consistency,
            };
            let page = read_all::<R>(&self.server.query(wanted)?, &self.settings);
            let page =
                page.ok_or_else(|| self.server.malformed(&format!("a row of {collection}")))?;
            let full = page.len() >= limit;
            left -= page.len().min(left);
            behind = page.last().map(Row::behind);
            take(page)?;
            if !full {
                break;
            }
        }
        Ok(())
    }

    /// Two columns of all rows, without their vectors: their keys as text and their pids.
    pub(super) fn pids<R: Row>(&self, filter: &str) -> Result<Vec<(String, i64)>, Error> {
        let collection = self.collection::<R>();
        let (mut found, mut behind) = (Vec::new(), filter.to_owned());
        loop {
            let wanted = Wanted {
                collection: &collection,
                filter: &behind,
                fields: &["id", "pid"],
                limit: MAX_ROWS,
                consistency: ConsistencyLevel::Strong,
            };
            let results = self.server.query(wanted)?;
            let columns = Columns::new(results.get_output_fields(), &self.settings);
            let rows = results.get_row_count() as usize;
            for row in 0..rows {
                let key = match (columns.integer("id", row), columns.text("id", row)) {
                    (Some(id), _) => id.to_string(),
                    (None, Some(id)) => format!("\"{id}\""),
                    (None, None) => return Err(self.server.malformed("a row without a key")),
                };
                let pid = columns.integer("pid", row);
                let pid = pid.ok_or_else(|| self.server.malformed("a row without a pid"))?;
                found.push((key, pid));
            }
            match found.last() {
                Some((last, _)) if rows == MAX_ROWS && filter.is_empty() => {
                    behind = format!("id > {last}");
                }
                Some((last, _)) if rows == MAX_ROWS => {
                    behind = format!("({filter}) and id > {last}")
                }
                _ => return Ok(found),
            }
        }
    }

    /// Writes rows, in the place of those with their keys.
    pub(super) fn put<R: Row>(&self, rows: &[R]) -> Result<(), Error> {
        let collection = self.collection::<R>();
        rows.chunks(self.batch())
            .try_for_each(|batch| self.server.upsert(&collection, &R::columns(batch)))
    }

    /// Removes rows by key, each written as in a filter.
    pub(super) fn take<R: Row>(&self, key: &str, values: &[String]) -> Result<(), Error> {
        let collection = self.collection::<R>();
        values.chunks(LISTED).try_for_each(|values| {
            self.server.delete(&collection, &format!("{key} in [{}]", values.join(",")))
        })
    }
}

/// The index of every collection: none, all rows are compared.
pub(super) fn index(metric: MetricType) -> IndexParam {
    IndexParam::new()
        .field_name("vector")
        .index_name("vector")
        .index_type(IndexType::Flat)
        .metric_type(metric)
}

/// A filter for the rows whose `column` is one of the values.
pub(super) fn one_of(column: &str, values: impl IntoIterator<Item = i64>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    format!("{column} in [{}]", values.join(","))
}

/// The same of texts, which are quoted.
pub(super) fn one_of_texts<'a>(column: &str, values: impl IntoIterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.into_iter().map(quoted).collect();
    format!("{column} in [{}]", values.join(","))
}

/// A text as filters write it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
