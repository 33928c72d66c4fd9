//! What stands for approximate search in a build without it: the same names, and one error.

use crate::approximation::Approximation;
use crate::error::Error;
use crate::scan::{RowId, Rows};

/// A graph that is never made.
pub(crate) enum Graph {}

impl Graph {
    pub(crate) fn build(_rows: &Rows) -> Result<Self, Error> {
        Err(Error::NoUsearch)
    }

    pub(crate) fn report(&self) -> &Approximation {
        match *self {}
    }

    pub(crate) fn is_old(&self) -> bool {
        match *self {}
    }

    pub(crate) fn suits(_k: usize, _rows: &Rows) -> bool {
        false
    }

    pub(crate) fn put(&mut self, _id: RowId, _vector: &[f32]) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn remove(&mut self, _id: RowId) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn candidates(
        &self,
        _queries: &[Vec<f64>],
        _k: usize,
        _by_pid: bool,
    ) -> Result<Vec<Vec<RowId>>, Error> {
        match *self {}
    }
}
