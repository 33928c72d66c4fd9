//! Pretrained weights of a backbone, under whatever prefix they were saved.

use std::fmt;
use std::path::PathBuf;

use burn::module::Module;

use super::kind::{Identity, Kind};
use super::{StateDict, Tensors, load, map_tensors};
use crate::{Backbone, Error};

/// What wrappers put before a name: data parallelism, and the reference's own modules.
const PREFIXES: [&str; 3] = ["module.", "backbone.", "base."];

/// Counters of PyTorch's batch norms, which nothing reads.
const COUNTER: &str = "num_batches_tracked";

/// State of the optimiser in our checkpoints, no weights.
const OPTIMIZER: &str = "adam.";

/// What became of the tensors of a file. None is ever missing: that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackboneImport {
    /// The file.
    pub path: PathBuf,
    /// Tensors that are in the network now.
    pub matched: usize,
    /// Tensors of the file that the network has no place for (classifier, another head), sorted.
    pub unused: Vec<String>,
    /// What whoever named the file should know, a sentence each.
    pub notices: Vec<String>,
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
    let mut found = file.plain_tensors()?;
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
    let is_weight = |name: &str| !name.ends_with(COUNTER) && !name.starts_with(OPTIMIZER);
    let unused = found.into_iter().filter(|(plain, _)| is_weight(plain));
    let import = BackboneImport {
        path: file.path().to_owned(),
        matched: tensors.len(),
        unused: unused.map(|(_, (name, _))| name.to_owned()).collect(),
        notices: file.identity().notice().into_iter().collect(),
    };
    Ok((backbone, import))
}

impl Identity {
    /// What is left out when only the backbone is taken.
    fn notice(&self) -> Option<String> {
        let what = match self.kind {
            kind @ (Kind::Checkpoint | Kind::Model | Kind::Reference) => kind,
            Kind::Backbone | Kind::Unknown => return None,
        };
        let classes = self.classifier.as_ref().map(|classifier| classifier.classes);
        let of = classes.map(|classes| format!(" of {classes} classes")).unwrap_or_default();
        Some(format!(
            "it is a {what}{of}: only its backbone is taken; neck, classifier and centres are left \
             out and start anew"
        ))
    }
}

impl StateDict {
    /// Refuses weights that are known to be of another backbone.
    ///
    /// # Errors
    /// [`Error::File`] naming both.
    pub(crate) fn check_backbone(&self, wanted: Backbone) -> Result<(), Error> {
        match self.identity().backbone {
            Some(found) if found != wanted => {
                let reason = format!(
                    "holds the weights of {found}, but model.name is {wanted}; set model.name to \
                     {found} or name other weights"
                );
                Err(Error::File { path: self.path().to_owned(), reason })
            }
            _ => Ok(()),
        }
    }

    /// The tensors of a backbone under torchvision's names.
    ///
    /// # Errors
    /// A tensor that is missing, no floating point number, or not finite.
    pub fn backbone_tensors(&self, backbone: Backbone) -> Result<Tensors, Error> {
        self.arrays(backbone.shapes().into_keys())
    }

    /// Tensors by their names without prefixes, in single precision.
    pub(crate) fn arrays(&self, names: impl IntoIterator<Item = String>) -> Result<Tensors, Error> {
        let tensors = self.plain_tensors()?;
        let array = |name: String| match tensors.get(name.as_str()).map(|(_, t)| t.to_array()) {
            Some(Ok(array)) => Ok((name, array)),
            Some(Err(reason)) => Err(format!("tensor `{name}` {reason}")),
            None => Err(format!("tensor `{name}` is missing")),
        };
        let arrays = names.into_iter().map(array).collect::<Result<Tensors, String>>();
        arrays.map_err(|reason| Error::File { path: self.path().to_owned(), reason })
    }
}

/// A name without [`PREFIXES`].
pub(super) fn plain(mut name: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;

    use super::*;
    use crate::layers::{BatchNorm, Conv2d};
    use crate::weights::{Array, collect};

    type Layer = (Conv2d, BatchNorm);

    /// Stands for a backbone: `0.weight`, and four tensors of a batch norm under `1`.
    fn layer() -> Layer {
        let device = Device::flex();
        (Conv2d::new(1, 2, 1, 1, &device), BatchNorm::new(2, &device))
    }

    /// Other values than a new layer's, under names that begin with `prefix`.
    fn tensors(prefix: &str) -> Tensors {
        let tensors = collect(&layer()).into_iter().enumerate().map(|(i, (name, mut array))| {
            array.values.fill(i as f32 + 2.0);
            (format!("{prefix}{name}"), array)
        });
        tensors.collect()
    }

    fn import(tensors: &Tensors) -> Result<(Tensors, BackboneImport), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
        let file = StateDict::read(&path).unwrap();
        let (layer, import) = load_backbone(layer(), &file).map_err(|error| error.to_string())?;
        Ok((collect(&layer), import))
    }

    fn other() -> Array {
        Array { shape: vec![3], values: vec![0.0; 3] }
    }

    #[test]
    fn every_prefix_is_taken_off() {
        for prefix in ["", "module.", "base.", "backbone.base.", "module.backbone.base."] {
            let (loaded, import) = import(&tensors(prefix)).unwrap();
            assert_eq!(loaded, tensors(""));
            assert_eq!((import.matched, import.unused.len()), (5, 0), "{prefix}");
        }
    }

    #[test]
    fn what_has_no_place_is_listed_but_not_the_counters() {
        let mut file = tensors("module.");
        for name in ["module.fc.weight", "fc_query.weight", "module.1.num_batches_tracked"] {
            file.insert(name.to_owned(), other());
        }
        let import = import(&file).unwrap().1;
        assert_eq!(import.unused, ["module.fc.weight", "fc_query.weight"]);
        let text = import.to_string();
        assert!(text.contains("5 tensors matched, 0 missing, 2 unused ("), "{text}");
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_file() {
        let message = |change: &dyn Fn(&mut Tensors)| {
            let mut file = tensors("");
            change(&mut file);
            let message = import(&file).unwrap_err();
            assert!(message.contains("weights.safetensors"), "{message}");
            message
        };
        let missing = message(&|file| drop(file.remove("1.running_var")));
        assert!(missing.contains("`1.running_var` is missing"), "{missing}");
        let shape = message(&|file| drop(file.insert("0.weight".to_owned(), other())));
        assert!(shape.contains("`0.weight` is [3]"), "{shape}");
        let nan = Array { shape: vec![2], values: vec![0.0, f32::NAN] };
        let nan = message(&|file| drop(file.insert("1.bias".to_owned(), nan.clone())));
        assert!(nan.contains("`1.bias` holds NaN"), "{nan}");
        let twice = message(&|file| drop(file.insert("base.1.bias".to_owned(), other())));
        assert!(twice.contains("two prefixes"), "{twice}");
    }

    #[test]
    fn a_long_list_is_cut() {
        let unused = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let (path, notices) = (Path::new("x").to_owned(), vec![]);
        let import = BackboneImport { path, matched: 1, unused, notices };
        assert_eq!(import.to_string(), "x: 1 tensors matched, 0 missing, 4 unused (a, b, c, …)");
    }
}
