//! What a trainer keeps beside the weights, as far as it is plain values: where the training stood
//! and how it was set up.

use serde_json::{Map, Value};

use super::object::{Id, Object};
use super::pickle::Pickle;
use super::{entry, key};

/// The entries that are looked at; the state of optimisers and the like is not.
const KEYS: [&str; 4] = ["epoch", "global_step", "pytorch-lightning_version", "hyper_parameters"];

/// Values that are converted at most: settings are a few hundred.
const MAX_VALUES: usize = 10_000;

/// Deepest nesting of settings.
const MAX_DEPTH: usize = 16;

/// The known entries of the dictionary at the root.
pub(super) fn of(pickle: &Pickle<'_>, root: &[(Id, Id)]) -> Map<String, Value> {
    let mut converter = Converter { pickle, left: MAX_VALUES };
    let mut extra = Map::new();
    for name in KEYS {
        if let Some(id) = entry(pickle, root, name) {
            extra.insert(name.to_owned(), converter.value(id, MAX_DEPTH));
        }
    }
    extra
}

struct Converter<'p, 'a> {
    pickle: &'p Pickle<'a>,
    left: usize,
}

impl Converter<'_, '_> {
    /// The value as JSON; null for what is no plain value, and once there were too many.
    fn value(&mut self, id: Id, depth: usize) -> Value {
        if self.left == 0 || depth == 0 {
            return Value::Null;
        }
        self.left -= 1;
        match self.pickle.get(id) {
            Object::Bool(value) => Value::Bool(*value),
            Object::Int(value) => i64::try_from(*value).map_or(Value::Null, Value::from),
            Object::Float(value) => Value::from(*value),
            Object::Text(text) => Value::from(*text),
            Object::Tuple(items) | Object::List(items) => {
                let items = items.iter().take(self.left);
                items.map(|item| self.value(*item, depth - 1)).collect()
            }
            Object::Dict(entries) => self.map(entries, depth),
            Object::Instance(instance) => self.map(&instance.entries, depth),
            _ => Value::Null,
        }
    }

    fn map(&mut self, entries: &[(Id, Id)], depth: usize) -> Value {
        let mut map = Map::new();
        for (name, value) in entries.iter().take(self.left) {
            if let Some(name) = key(self.pickle, *name) {
                map.insert(name.to_owned(), self.value(*value, depth - 1));
            }
        }
        Value::Object(map)
    }
}
