//! Laying a user's table over the complete default one, with errors that name the key.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::Error;

/// Lists whose length is free; the others are sizes and channels.
const OF_ANY_LENGTH: [&str; 1] = ["solver.lr_steps"];

/// Replaces the values of `all` by those of `user`; keys are compared in lower case.
pub(super) fn apply(all: &mut Table, user: &Table) -> Result<(), Error> {
    let known = keys(all, "");
    merge(all, user, "", &known)
}

/// A table of the one dotted `key`.
pub(super) fn pair(key: &str, value: &str) -> Table {
    let (parents, last) = match key.rsplit_once('.') {
        Some((parents, last)) => (parents.split('.').rev().collect(), last),
        None => (Vec::new(), key),
    };
    let innermost = Table::from_iter([(last.to_owned(), literal(value))]);
    parents.into_iter().fold(innermost, |inner, parent| {
        Table::from_iter([(parent.to_owned(), Value::Table(inner))])
    })
}

/// A TOML or Python literal; what is neither is a string.
fn literal(text: &str) -> Value {
    let python = match text.trim() {
        "True" => "true".to_owned(),
        "False" => "false".to_owned(),
        tuple if tuple.starts_with('(') && tuple.ends_with(')') => {
            format!("[{}]", &tuple[1..tuple.len() - 1])
        }
        other => other.to_owned(),
    };
    let table = format!("value = {python}").parse::<Table>();
    let value = table.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn merge(all: &mut Table, user: &Table, prefix: &str, known: &[String]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for (key, value) in user {
        if !seen.insert(key.to_lowercase()) {
            return Err(Error::KeyTwice { key: format!("{prefix}{}", key.to_lowercase()) });
        }
        let full = format!("{prefix}{}", key.to_lowercase());
        let Some(old) = all.get_mut(&key.to_lowercase()) else {
            let nearest = nearest(&full, known);
            return Err(Error::UnknownKey { key: full, nearest });
        };
        match (old, value) {
            (Value::Table(old), Value::Table(value)) => {
                merge(old, value, &format!("{full}."), known)?;
            }
            (old, value) => *old = coerced(&full, old, value)?,
        }
    }
    Ok(())
}

/// `value`, if it can stand where `old` stands; whole numbers may stand for others.
fn coerced(key: &str, old: &Value, value: &Value) -> Result<Value, Error> {
    let wrong = |expected: &str| {
        let (key, found) = (key.to_owned(), value.to_string());
        Err(Error::WrongType { key, expected: expected.to_owned(), found })
    };
    match (old, value) {
        (Value::Float(_), Value::Integer(whole)) => Ok(Value::Float(*whole as f64)),
        (Value::Integer(_), Value::Integer(whole)) if *whole < 0 => {
            wrong("a whole number from 0 up")
        }
        (Value::Float(_), Value::Float(number)) if !number.is_finite() => wrong("a finite number"),
        (Value::Array(old), Value::Array(values))
            if old.len() != values.len() && !OF_ANY_LENGTH.contains(&key) =>
        {
            wrong(&format!("a list of {}", old.len()))
        }
        (Value::Array(old), Value::Array(values)) => {
            let item = old.first().cloned().unwrap_or(Value::Integer(0));
            let items = values.iter().map(|value| coerced(key, &item, value));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        _ if std::mem::discriminant(old) == std::mem::discriminant(value) => Ok(value.clone()),
        (Value::Integer(_), _) => wrong("a whole number from 0 up"),
        (Value::Float(_), _) => wrong("a number"),
        (Value::Boolean(_), _) => wrong("true or false"),
        (Value::String(_), _) => wrong("a string"),
        (Value::Array(_), _) => wrong("a list"),
        (Value::Table(_), _) => wrong("a section of settings"),
        (Value::Datetime(_), _) => wrong("a date"),
    }
}

/// Every key and section of a table, dotted.
fn keys(table: &Table, prefix: &str) -> Vec<String> {
    let inner = |(key, value): (&String, &Value)| {
        let full = format!("{prefix}{key}");
        let below = match value {
            Value::Table(table) => keys(table, &format!("{full}.")),
            _ => Vec::new(),
        };
        std::iter::once(full).chain(below).collect::<Vec<_>>()
    };
    table.iter().flat_map(inner).collect()
}

fn nearest(key: &str, known: &[String]) -> String {
    let likeness = |other: &&String| (strsim::jaro_winkler(key, other) * 1e9) as u64;
    known.iter().max_by_key(likeness).cloned().unwrap_or_default()
}
