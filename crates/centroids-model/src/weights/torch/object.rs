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
    ElementType(Dtype),
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

impl Object<'_> {
    /// The object of a name in Python, if it is one of those that tensors are made of.
    ///
    /// # Errors
    /// Any other name.
    pub(super) fn of_name(module: &str, name: &str) -> Result<Object<'static>, String> {
        if let ("torch", Some(dtype)) = (module, element_type(name)) {
            return Ok(Object::ElementType(dtype));
        }
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Object::Function(Function::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                Object::Function(Function::RebuildTensor)
            }
            ("torch._utils", "_rebuild_parameter") | ("torch.nn.parameter", "Parameter") => {
                Object::Function(Function::RebuildParameter)
            }
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
            Object::Float => "a number",
            Object::Text(_) => "a text",
            Object::Tuple(_) => "a tuple",
            Object::List(_) => "a list",
            Object::Dict(_) => "a dictionary",
            Object::Function(_) => "a function",
            Object::ElementType(_) => "a type",
            Object::Storage(_) => "a storage",
            Object::Tensor(_) => "a tensor",
        })
    }
}
