//! Laying a user's settings over the complete default ones, with errors that name the key.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::reference::{self, Meaning};
use crate::Error;

/// Lists whose length is free; the others are sizes and channels.
const OF_ANY_LENGTH: [&str; 1] = ["solver.lr_steps"];

/// Replaces the values of `all` by those of `user`, whose keys may be in upper case and the
/// reference's. Returns what there is to say about them.
pub(super) fn apply(all: &mut Table, user: &Table) -> Result<Vec<String>, Error> {
    let known = flat(all, "").into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let (mut seen, mut notes) = (BTreeSet::new(), Vec::new());
    for (key, value) in flat(user, "") {
        if !seen.insert(key.clone()) {
            return Err(Error::KeyTwice { key });
        }
        match reference::meaning(&key, value)? {
            Meaning::Setting => set(all, &key, value, &known)?,
            Meaning::Other(name, value) => set(all, name, &value, &known)?,
            Meaning::Nothing(note) => notes.extend(note),
        }
    }
    Ok(notes)
}

/// A table of the one dotted `key`, its value as it was typed.
pub(super) fn pair(key: &str, value: &str) -> Table {
    let (parents, last) = match key.rsplit_once('.') {
        Some((parents, last)) => (parents.split('.').rev().collect(), last),
        None => (Vec::new(), key),
    };
    let innermost = Table::from_iter([(last.to_owned(), Value::String(value.to_owned()))]);
    parents.into_iter().fold(innermost, |inner, parent| {
        Table::from_iter([(parent.to_owned(), Value::Table(inner))])
    })
}

/// A TOML or Python literal; what is neither is a string.
pub(super) fn literal(text: &str) -> Value {
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

/// Every key of a table, dotted and in lower case, and its value; sections without their keys too,
/// where they have none.
fn flat<'a>(table: &'a Table, prefix: &str) -> Vec<(String, &'a Value)> {
    let mut all = Vec::new();
    for (key, value) in table {
        let full = format!("{prefix}{}", key.to_lowercase());
        match value {
            Value::Table(table) if !table.is_empty() => {
                all.extend(flat(table, &format!("{full}.")))
            }
            value => all.push((full, value)),
        }
    }
    all
}

/// Sets one key of the complete table.
fn set(all: &mut Table, key: &str, value: &Value, known: &[String]) -> Result<(), Error> {
    let unknown = || Error::UnknownKey { key: key.to_owned(), nearest: nearest(key, known) };
    let (parents, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut section = all;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        section = section.get_mut(parent).and_then(Value::as_table_mut).ok_or_else(unknown)?;
    }
    let old = section.get_mut(last).ok_or_else(unknown)?;
    *old = coerced(key, old, value)?;
    Ok(())
}

/// `value`, if it can stand where `old` stands. Whole numbers may stand for others, a text for what
/// it reads as, a list of texts for a text.
fn coerced(key: &str, old: &Value, value: &Value) -> Result<Value, Error> {
    let wrong = |expected: &str| {
        let (key, found) = (key.to_owned(), value.to_string());
        Err(Error::WrongType { key, expected: expected.to_owned(), found })
    };
    match (old, value) {
        (Value::String(_), Value::String(text)) => Ok(match literal(text) {
            quoted @ Value::String(_) => quoted,
            list @ Value::Array(_) if key == "datasets.names" => coerced(key, old, &list)?,
            _ => value.clone(),
        }),
        (Value::String(_), Value::Array(names)) if names.iter().all(Value::is_str) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            Ok(Value::String(names.join(",")))
        }
        (_, Value::String(text)) if !typed(old, text).is_str() => {
            coerced(key, old, &typed(old, text))
        }
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

/// What a text reads as where a value like `old` is wanted.
fn typed(old: &Value, text: &str) -> Value {
    match (old, text.trim().to_lowercase().as_str()) {
        (Value::Boolean(_), "yes") => Value::Boolean(true),
        (Value::Boolean(_), "no") => Value::Boolean(false),
        (Value::Float(_), number) => number.parse().map_or_else(|_| literal(text), Value::Float),
        _ => literal(text),
    }
}

fn nearest(key: &str, known: &[String]) -> String {
    let likeness = |other: &&String| (strsim::jaro_winkler(key, other) * 1e9) as u64;
    let sections = known.iter().filter_map(|key| key.split_once('.')).map(|(section, _)| section);
    let all: Vec<String> = known.iter().cloned().chain(sections.map(str::to_owned)).collect();
    all.iter().max_by_key(likeness).cloned().unwrap_or_default()
}
