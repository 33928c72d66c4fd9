//! What a pickle of tensors may hold.

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
    Float,
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Function(Function),
    StorageType(Dtype),
    Storage(Storage<'a>),
    Tensor(View<'a>),
}

/// The functions that are understood; none is run, we know what they make.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
}

impl Object<'_> {
    /// The object of a name in Python, if it is one of those that tensors are made of.
    ///
    /// # Errors
    /// Any other name.
    pub(super) fn of_name(module: &str, name: &str) -> Result<Object<'static>, String> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Object::Function(Function::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                Object::Function(Function::RebuildTensor)
            }
            ("torch._utils", "_rebuild_parameter") | ("torch.nn.parameter", "Parameter") => {
                Object::Function(Function::RebuildParameter)
            }
            ("torch", "DoubleStorage") => Object::StorageType(Dtype::F64),
            ("torch", "FloatStorage") => Object::StorageType(Dtype::F32),
            ("torch", "HalfStorage") => Object::StorageType(Dtype::F16),
            ("torch", "BFloat16Storage") => Object::StorageType(Dtype::BF16),
            ("torch", "LongStorage") => Object::StorageType(Dtype::I64),
            ("torch", "IntStorage") => Object::StorageType(Dtype::I32),
            ("torch", "ShortStorage") => Object::StorageType(Dtype::I16),
            ("torch", "CharStorage") => Object::StorageType(Dtype::I8),
            ("torch", "ByteStorage") => Object::StorageType(Dtype::U8),
            ("torch", "BoolStorage") => Object::StorageType(Dtype::BOOL),
            _ => {
                let full = format!("{module}.{name}");
                let full: String = full.escape_debug().take(100).collect();
                return Err(format!(
                    "refers to `{full}`, which no dictionary of tensors needs, and is refused; \
                     nothing was run. If it is a whole model, save its state_dict() instead"
                ));
            }
        })
    }
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Object::None => "None",
            Object::Bool(_) => "a truth value",
            Object::Int(_) => "a whole number",
            Object::Float => "a number",
            Object::Text(_) => "a text",
            Object::Tuple(_) => "a tuple",
            Object::List(_) => "a list",
            Object::Dict(_) => "a dictionary",
            Object::Function(_) => "a function",
            Object::StorageType(_) => "a type",
            Object::Storage(_) => "a storage",
            Object::Tensor(_) => "a tensor",
        })
    }
}
