//! Pretrained weights of a backbone, under whatever prefix they were saved.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use burn::module::Module;

use super::{StateDict, Tensors, load, map_tensors};
use crate::Error;

/// What wrappers put before a name: data parallelism, and the reference's own modules.
const PREFIXES: [&str; 3] = ["module.", "backbone.", "base."];

/// Counters of PyTorch's batch norms, which nothing reads.
const COUNTER: &str = "num_batches_tracked";

/// What became of the tensors of a file. None is ever missing: that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackboneImport {
    /// The file.
    pub path: PathBuf,
    /// Tensors that are in the network now.
    pub matched: usize,
    /// Tensors of the file that the network has no place for (classifier, another head), sorted.
    pub unused: Vec<String>,
}

impl fmt::Display for BackboneImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let (matched, unused) = (self.matched, self.unused.len());
        write!(
            f,
            "{}: {matched} tensors matched, 0 missing, {unused} unused",
            self.path.display()
        )?;
        if unused > 0 {
            let more = if unused > SHOWN { ", …" } else { "" };
            write!(f, " ({}{more})", self.unused[..unused.min(SHOWN)].join(", "))?;
        }
        Ok(())
    }
}

/// Replaces every tensor of `backbone`; names are compared without [`PREFIXES`].
pub(crate) fn load_backbone<M: Module>(
    backbone: M,
    file: &StateDict,
) -> Result<(M, BackboneImport), Error> {
    let reject = |reason| Error::File { path: file.path().to_owned(), reason };
    let mut found = BTreeMap::new();
    for (name, tensor) in file.tensors() {
        if found.insert(plain(name), (name, tensor)).is_some() {
            return Err(reject(format!("has `{}` under two prefixes", plain(name))));
        }
    }
    let mut tensors = Tensors::new();
    let mut problem = None;
    let backbone = map_tensors(backbone, |name, _| {
        match found.remove(name).map(|(_, tensor)| tensor.to_array())? {
            Ok(array) => drop(tensors.insert(name.to_owned(), array)),
            Err(reason) => drop(problem.get_or_insert(format!("tensor `{name}` {reason}"))),
        }
        None
    });
    if let Some(reason) = problem {
        return Err(reject(reason));
    }
    let backbone = load(backbone, &tensors, file.path())?;
    let unused = found.into_iter().filter(|(plain, _)| !plain.ends_with(COUNTER));
    let import = BackboneImport {
        path: file.path().to_owned(),
        matched: tensors.len(),
        unused: unused.map(|(_, (name, _))| name.clone()).collect(),
    };
    Ok((backbone, import))
}

fn plain(mut name: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}
