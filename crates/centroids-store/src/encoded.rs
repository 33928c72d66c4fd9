//! Members to be and queries, checked, with their vectors as they are kept and compared.

use crate::error::Error;
use crate::member::NewMember;
use crate::precision::Precision;
use crate::settings::Settings;

/// A vector as it will be kept: as bytes, and read back from them.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) vector: Vec<f32>,
}

/// Checks all members before anything is written.
pub(crate) fn encode_all(new: &[NewMember], settings: &Settings) -> Result<Vec<Encoded>, Error> {
    new.iter().map(|member| encode(member, settings)).collect()
}

fn encode(member: &NewMember, settings: &Settings) -> Result<Encoded, Error> {
    let NewMember { key, embedding, weight, time, .. } = member;
    let refuse = |reason: String| Err(Error::Member { key: key.clone(), reason });
    if key.is_empty() {
        return refuse("a member needs a path or another key, and this one has none".to_owned());
    }
    if embedding.len() != settings.dim {
        let (what, found, expected) = (key.clone(), embedding.len(), settings.dim);
        return Err(Error::Dimension { what, found, expected });
    }
    if !(weight.is_finite() && *weight > 0.0 && *weight <= MAX_WEIGHT && *weight >= MIN_WEIGHT) {
        return refuse(format!("weight {weight} is not between {MIN_WEIGHT} and {MAX_WEIGHT}"));
    }
    if let Some(time) = time.filter(|time| !time.is_finite()) {
        return refuse(format!("time {time} is no time"));
    }
    settings.decay(key, *time)?;
    let bytes = settings.precision.encode(embedding);
    match settings.precision.decode(&bytes, settings.dim) {
        Some(vector) => Ok(Encoded { bytes, vector }),
        None => {
            let bad = |value: &f32| {
                !value.is_finite()
                    || (settings.precision == Precision::F16 && value.abs() >= 65520.0)
            };
            let column = embedding.iter().position(bad).unwrap_or(0);
            Err(Error::NotFinite { what: key.clone(), column, value: embedding[column] })
        }
    }
}

/// Far within what sums can hold beside each other.
const MAX_WEIGHT: f64 = 1e9;
const MIN_WEIGHT: f64 = 1e-9;

/// Makes queries ready for comparison, `[dim]` each.
pub(crate) fn prepare_queries(
    queries: &[&[f32]],
    settings: &Settings,
) -> Result<Vec<Vec<f64>>, Error> {
    let one = |(number, query): (usize, &&[f32])| {
        let what = || format!("query {number}");
        if query.len() != settings.dim {
            let (found, expected) = (query.len(), settings.dim);
            return Err(Error::Dimension { what: what(), found, expected });
        }
        match query.iter().position(|value| !value.is_finite()) {
            Some(column) => Err(Error::NotFinite { what: what(), column, value: query[column] }),
            None => Ok(settings.metric().prepared(query)),
        }
    };
    queries.iter().enumerate().map(one).collect()
}
