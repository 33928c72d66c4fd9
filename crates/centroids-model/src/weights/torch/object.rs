//! What a pickle of tensors may hold, and what beside tensors is let pass.

use std::fmt;

use safetensors::Dtype;

use super::view::{Storage, View};

/// Place of an object in its pickle's table. Objects refer to each other by place, so that shared,
/// deep and circular ones cost nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) u32);

#[derive(Debug)]
pub(super) enum Object<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Function(Function),
    ElementType(Dtype),
    /// Named, and no more: a class or a function of some program.
    Foreign(Box<Name<'a>>),
    /// An object of a class that is [`Object::Foreign`]; all that is kept are the entries of one
    /// that is a dictionary.
    Instance(Box<Instance>),
    // Boxed: most objects are numbers, and a hostile file is nothing but objects.
    Storage(Box<Storage<'a>>),
    Tensor(Box<View<'a>>),
}

/// The functions that are understood; none is run, we know what they make.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
}

/// A name in Python.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    module: &'a str,
    name: &'a str,
}

#[derive(Debug)]
pub(super) struct Instance {
    /// What it is an instance of.
    pub(super) class: Id,
    pub(super) entries: Vec<(Id, Id)>,
}

impl Name<'_> {
    /// Whether a call makes a plain value: what numbers, dates, paths and settings are pickled as.
    /// Checkpoints of PyTorch-Lightning are full of them.
    pub(super) fn makes_a_value(&self) -> bool {
        const OF_TRAINERS: [&str; 4] =
            ["pytorch_lightning.", "lightning.", "torchmetrics.", "yacs."];
        match self.module {
            "numpy.core.multiarray" | "numpy._core.multiarray" => {
                matches!(self.name, "scalar" | "_reconstruct")
            }
            "numpy" => matches!(self.name, "dtype" | "ndarray"),
            "_codecs" => self.name == "encode",
            "collections" => matches!(self.name, "Counter" | "defaultdict" | "deque"),
            "builtins" | "__builtin__" => matches!(
                self.name,
                "bool"
                    | "bytearray"
                    | "complex"
                    | "dict"
                    | "float"
                    | "frozenset"
                    | "int"
                    | "list"
                    | "set"
                    | "slice"
                    | "str"
                    | "tuple"
            ),
            "torch" => matches!(self.name, "Size" | "device"),
            "datetime" => matches!(self.name, "date" | "datetime" | "timedelta"),
            "pathlib" => self.name.ends_with("Path"),
            module => OF_TRAINERS.iter().any(|root| module.starts_with(root)),
        }
    }
}

impl fmt::Display for Name<'_> {
    /// In back quotes, fit for an error message whatever the file says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = format!("{}.{}", self.module, self.name);
        let full: String = full.escape_debug().take(100).collect();
        write!(f, "`{full}`")
    }
}

impl<'a> Object<'a> {
    /// The object of a name in Python: one of those that tensors are made of, or a foreign one.
    pub(super) fn of_name(module: &'a str, name: &'a str) -> Object<'a> {
        if let ("torch", Some(dtype)) = (module, element_type(name)) {
            return Object::ElementType(dtype);
        }
        match (module, name) {
            ("collections", "OrderedDict") => Object::Function(Function::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                Object::Function(Function::RebuildTensor)
            }
            ("torch._utils", "_rebuild_parameter") | ("torch.nn.parameter", "Parameter") => {
                Object::Function(Function::RebuildParameter)
            }
            _ => Object::Foreign(Box::new(Name { module, name })),
        }
    }
}

/// Of `FloatStorage` or, in the oldest files, `FloatTensor`.
fn element_type(name: &str) -> Option<Dtype> {
    Some(match name.strip_suffix("Storage").or(name.strip_suffix("Tensor"))? {
        "Double" => Dtype::F64,
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::BOOL,
        _ => return None,
    })
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Object::None => "None",
            Object::Bool(_) => "a truth value",
            Object::Int(_) => "a whole number",
            Object::Float(_) => "a number",
            Object::Text(_) => "a text",
            Object::Tuple(_) => "a tuple",
            Object::List(_) => "a list",
            Object::Dict(_) => "a dictionary",
            Object::Function(_) => "a function",
            Object::ElementType(_) => "a type",
            Object::Foreign(name) => return write!(f, "{name}"),
            Object::Instance(_) => "an object",
            Object::Storage(_) => "a storage",
            Object::Tensor(_) => "a tensor",
        })
    }
}
