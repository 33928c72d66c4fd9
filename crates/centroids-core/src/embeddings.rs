//! A matrix of embeddings with what is known about each row.

use std::collections::BTreeMap;

use crate::distance::unit_scale;
use crate::error::Error;
use crate::ids::{CamId, Pid};
use crate::values::Values;

/// `n` embeddings of `d` dimensions, row-major, each with pid, camera and path.
///
/// Checked once on construction: all lists have length `n`, `d > 0`, every value is finite. `n` may
/// be 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    dim: usize,
    values: Values,
    pids: Vec<Pid>,
    camids: Vec<Option<CamId>>,
    paths: Vec<String>,
    model: String,
    model_path: String,
    normalized: bool,
    pid_names: BTreeMap<Pid, String>,
}

impl Embeddings {
    /// Puts the lists together.
    ///
    /// # Shapes
    /// `values` is `[n, dim]` row-major; `pids`, `camids` and `paths` are `[n]`.
    ///
    /// # Errors
    /// [`Error::ZeroDimensions`], [`Error::ListLength`], [`Error::ValueCount`] or
    /// [`Error::NotFinite`], which names the first bad row.
    pub fn new(
        dim: usize,
        values: Vec<f32>,
        pids: Vec<Pid>,
        camids: Vec<Option<CamId>>,
        paths: Vec<String>,
    ) -> Result<Self, Error> {
        Self::of_values(dim, Values::Memory(values), pids, camids, paths)
    }

    /// [`new`](Self::new), with values that may lie in a file.
    pub(crate) fn of_values(
        dim: usize,
        values: Values,
        pids: Vec<Pid>,
        camids: Vec<Option<CamId>>,
        paths: Vec<String>,
    ) -> Result<Self, Error> {
        let rows = pids.len();
        if dim == 0 {
            return Err(Error::ZeroDimensions);
        }
        for (list, found) in [("camids", camids.len()), ("paths", paths.len())] {
            if found != rows {
                return Err(Error::ListLength { list, found, rows });
            }
        }
        if rows.checked_mul(dim) != Some(values.len()) {
            return Err(Error::ValueCount { values: values.len(), rows, dim });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (row, column) = (at / dim, at % dim);
            return Err(Error::NotFinite {
                row,
                path: paths[row].clone(),
                column,
                value: values[at],
            });
        }
        Ok(Self {
            dim,
            values,
            pids,
            camids,
            paths,
            model: String::new(),
            model_path: String::new(),
            normalized: false,
            pid_names: BTreeMap::new(),
        })
    }

    /// Says which model made the vectors.
    #[must_use]
    pub fn with_model(mut self, model: String) -> Self {
        self.model = model;
        self
    }

    /// Says in which file that model lies.
    #[must_use]
    pub fn with_model_path(mut self, model_path: String) -> Self {
        self.model_path = model_path;
        self
    }

    /// Names the pids, for sets whose identities are folders rather than numbers.
    #[must_use]
    pub fn with_pid_names(mut self, pid_names: BTreeMap<Pid, String>) -> Self {
        self.pid_names = pid_names;
        self
    }

    /// Gives every row the name of its identity as its path, as the reference stores centroids; a
    /// numbered identity bears its number.
    #[must_use]
    pub fn with_pids_as_paths(mut self) -> Self {
        let name = |pid: &Pid| self.pid_names.get(pid).cloned().unwrap_or_else(|| pid.to_string());
        self.paths = self.pids.iter().map(name).collect();
        self
    }

    /// The same rows taken by these cameras, `[n]`.
    ///
    /// # Panics
    /// If there are not as many cameras as rows.
    #[must_use]
    pub fn with_camids(mut self, camids: Vec<Option<CamId>>) -> Self {
        assert_eq!(camids.len(), self.camids.len(), "one camera per row");
        self.camids = camids;
        self
    }

    /// Records whether the rows have length 1 already; changes no value.
    #[must_use]
    pub fn with_normalized(mut self, normalized: bool) -> Self {
        self.normalized = normalized;
        self
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.pids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.pids.is_empty()
    }

    /// Dimensions of each row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Embedding `i`, `[dim]`.
    ///
    /// # Panics
    /// If `i` is not below [`len`](Self::len).
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    /// All values, `[n, dim]` row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Identity of each row.
    pub fn pids(&self) -> &[Pid] {
        &self.pids
    }

    /// Camera of each row, `None` where unknown.
    pub fn camids(&self) -> &[Option<CamId>] {
        &self.camids
    }

    /// Image of each row.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// What made the vectors; empty if unknown.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The file of that model; empty if unknown.
    pub fn model_path(&self) -> &str {
        &self.model_path
    }

    /// Whether the rows are known to have length 1.
    pub fn normalized(&self) -> bool {
        self.normalized
    }

    /// Names of the pids; empty where pids are the dataset's own numbers.
    pub fn pid_names(&self) -> &BTreeMap<Pid, String> {
        &self.pid_names
    }

    /// The same set with every row divided by its length, which is taken as at least 1e-12 (as the
    /// reference does), so a zero row stays zero.
    #[must_use]
    pub fn to_normalized(&self) -> Self {
        let mut values = self.values.to_vec();
        for row in values.chunks_exact_mut(self.dim) {
            let scale = unit_scale(row);
            row.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
        }
        Self { values: Values::Memory(values), ..self.clone() }.with_normalized(true)
    }

    /// The given rows in the given order; a row may be named twice.
    ///
    /// # Panics
    /// If a row is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            dim: self.dim,
            values: Values::Memory(rows.iter().flat_map(|&row| self.row(row)).copied().collect()),
            pids: rows.iter().map(|&row| self.pids[row]).collect(),
            camids: rows.iter().map(|&row| self.camids[row]).collect(),
            paths: rows.iter().map(|&row| self.paths[row].clone()).collect(),
            model: self.model.clone(),
            model_path: self.model_path.clone(),
            normalized: self.normalized,
            pid_names: self.pid_names.clone(),
        }
    }

    /// The same rows with other vectors, `[n, dim]`.
    pub(crate) fn with_vectors(&self, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), self.values.len());
        Self {
            dim: self.dim,
            values: Values::Memory(values),
            pids: self.pids.clone(),
            camids: self.camids.clone(),
            paths: self.paths.clone(),
            model: self.model.clone(),
            model_path: self.model_path.clone(),
            normalized: self.normalized,
            pid_names: self.pid_names.clone(),
        }
    }

    /// # Errors
    /// [`Error::DimensionMismatch`] if a gallery has other dimensions than these queries.
    pub(crate) fn check_dimensions(&self, gallery: &Self) -> Result<(), Error> {
        let (query, gallery) = (self.dim, gallery.dim);
        if query == gallery { Ok(()) } else { Err(Error::DimensionMismatch { query, gallery }) }
    }

    /// Replaces every vector by a centroid, `values` being `[n, dim]`. A centroid has no camera and,
    /// being a mean, no length of 1.
    pub(crate) fn into_centroids(mut self, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), self.values.len());
        self.values = Values::Memory(values);
        self.camids.fill(None);
        self.with_normalized(false)
    }

    /// Renumbers the pids so that equal names have equal numbers in both sets.
    ///
    /// Sets whose identities are names number them on their own, so the same number may mean two
    /// things. Names that `from` does not know get numbers above all of its own. Junk stays junk,
    /// and a pid without a name keeps its number unless `from` uses that number for a name. Where
    /// only one of the sets has names, the numbers of the other are its names; where none has,
    /// nothing changes.
    pub fn adopt_pid_numbers(&mut self, from: &Self) {
        if self.pid_names.is_empty() && from.pid_names.is_empty() {
            return;
        }
        self.pid_names = self.all_pid_names();
        let from_names = from.all_pid_names();
        let mut known = BTreeMap::new();
        for (&pid, name) in &from_names {
            known.entry(name.as_str()).or_insert(pid);
        }
        let used = self.pids.iter().chain(&from.pids).chain(from_names.keys());
        let mut fresh = used.max().map_or(0, |pid| pid.0) + 1;
        let mut next_fresh = || {
            fresh += 1;
            Pid(fresh - 1)
        };
        let mut renumbered = BTreeMap::from([(Pid::JUNK, Pid::JUNK)]);
        let mut names = from_names.clone();
        for (&pid, name) in &self.pid_names {
            let number = known.get(name.as_str()).copied().unwrap_or_else(&mut next_fresh);
            renumbered.entry(pid).or_insert(number);
            names.insert(number, name.clone());
        }
        for pid in &mut self.pids {
            *pid = *renumbered
                .entry(*pid)
                .or_insert_with(|| if from_names.contains_key(pid) { next_fresh() } else { *pid });
        }
        self.pid_names = names;
    }

    /// The names, or for a set without any the numbers as text.
    fn all_pid_names(&self) -> BTreeMap<Pid, String> {
        if !self.pid_names.is_empty() {
            return self.pid_names.clone();
        }
        let named = self.pids.iter().filter(|&&pid| pid != Pid::JUNK);
        named.map(|&pid| (pid, pid.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pids: &[i64]) -> Embeddings {
        let n = pids.len();
        Embeddings::new(
            2,
            (0..2 * n).map(|value| value as f32).collect(),
            pids.iter().copied().map(Pid).collect(),
            vec![None; n],
            (0..n).map(|row| format!("{row}.png")).collect(),
        )
        .unwrap()
    }

    fn names(pairs: &[(i64, &str)]) -> BTreeMap<Pid, String> {
        pairs.iter().map(|&(pid, name)| (Pid(pid), name.to_owned())).collect()
    }

    #[test]
    fn lists_of_other_lengths_are_refused_by_name() {
        let paths = || vec!["a".to_owned()];
        let error = |result: Result<Embeddings, Error>| result.unwrap_err().to_string();
        assert_eq!(
            error(Embeddings::new(1, vec![0.0], vec![Pid(1)], vec![], paths())),
            "`camids` has 0 entries for 1 embeddings: every embedding needs one"
        );
        assert_eq!(
            error(Embeddings::new(2, vec![0.0], vec![Pid(1)], vec![None], paths())),
            "1 values do not fill 1 embeddings of 2 dimensions"
        );
        assert!(matches!(
            Embeddings::new(0, vec![], vec![], vec![], vec![]),
            Err(Error::ZeroDimensions)
        ));
    }

    #[test]
    fn a_value_that_is_not_finite_is_named() {
        let paths = vec!["a.png".to_owned(), "b.png".to_owned()];
        let values = vec![0.0, 1.0, 2.0, f32::NAN];
        let error = Embeddings::new(2, values, vec![Pid(1); 2], vec![None; 2], paths).unwrap_err();
        assert!(error.to_string().starts_with("embedding 1 (b.png) holds NaN in dimension 1"));
    }

    #[test]
    fn normalising_divides_by_the_length_and_keeps_zero() {
        let values = vec![3.0, 4.0, 0.0, 0.0];
        let paths = vec![String::new(); 2];
        let set = Embeddings::new(2, values, vec![Pid(1); 2], vec![None; 2], paths).unwrap();
        let unit = set.to_normalized();
        assert_eq!(unit.values(), [0.6, 0.8, 0.0, 0.0]);
        assert!(unit.normalized() && !set.normalized());
    }

    #[test]
    fn select_takes_rows_in_the_given_order() {
        let chosen = set(&[5, 6, 7]).select(&[2, 0]);
        assert_eq!(chosen.values(), [4.0, 5.0, 0.0, 1.0]);
        assert_eq!(chosen.pids(), [Pid(7), Pid(5)]);
        assert_eq!(chosen.paths(), ["2.png", "0.png"]);
    }

    #[test]
    fn equal_names_get_equal_numbers() {
        let gallery = set(&[1, 2, 9]).with_pid_names(names(&[(1, "bag"), (2, "shoe")]));
        let mut query =
            set(&[1, 2, -1, 3, 2, 8]).with_pid_names(names(&[(1, "shoe"), (2, "hat"), (3, "bag")]));
        query.adopt_pid_numbers(&gallery);
        assert_eq!(query.pids(), [Pid(2), Pid(10), Pid(-1), Pid(1), Pid(10), Pid(8)]);
        assert_eq!(query.pid_names(), &names(&[(1, "bag"), (2, "shoe"), (10, "hat")]));
    }

    #[test]
    fn a_nameless_pid_gives_way_to_a_named_one() {
        let gallery = set(&[1, 2]).with_pid_names(names(&[(1, "bag"), (2, "shoe")]));
        let mut query = set(&[1, 2]).with_pid_names(names(&[(1, "bag")]));
        query.adopt_pid_numbers(&gallery);
        assert_eq!(query.pids(), [Pid(1), Pid(3)]);
    }

    #[test]
    fn a_number_is_its_own_name_where_the_other_side_has_names() {
        let numbered = set(&[7, 9, -1]);
        let mut named = set(&[1, 2, 3]).with_pid_names(names(&[(1, "7"), (2, "hat"), (3, "9")]));
        named.adopt_pid_numbers(&numbered);
        assert_eq!((named.pids()[0], named.pids()[2]), (Pid(7), Pid(9)));
        assert!(!numbered.pids().contains(&named.pids()[1]));

        let mut numbered = numbered;
        let named = set(&[1, 2]).with_pid_names(names(&[(1, "9"), (2, "hat")]));
        numbered.adopt_pid_numbers(&named);
        assert_eq!((numbered.pids()[1], numbered.pids()[2]), (Pid(1), Pid::JUNK));
        assert!(!named.pids().contains(&numbered.pids()[0]));

        let mut alone = set(&[4]);
        alone.adopt_pid_numbers(&set(&[5]));
        assert_eq!(alone.pids(), [Pid(4)]);
    }
}
