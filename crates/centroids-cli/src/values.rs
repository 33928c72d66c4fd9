//! Values that have names: what an option takes, for help, completion and error messages.

use std::error::Error;
use std::ffi::OsStr;
use std::str::FromStr;

use centroids::core::{CameraRule, CentroidOf, Distance, Preset, Unit};
use centroids::data::{Layout, Split};
use centroids::model::Backbone;
use centroids::pipeline::Names;
use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Arg, Command};
use serde_json::Value;

/// One value, or `all`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OneOrAll<T> {
    One(T),
    All,
}

impl<T: Copy> OneOrAll<T> {
    /// The values meant, `all` being every one.
    pub(crate) fn among(self, all: &[T]) -> Vec<T> {
        match self {
            OneOrAll::One(one) => vec![one],
            OneOrAll::All => all.to_vec(),
        }
    }
}

impl<T: FromStr> FromStr for OneOrAll<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "all" => Ok(OneOrAll::All),
            one => one.parse().map(OneOrAll::One),
        }
    }
}

pub(crate) fn unit() -> impl TypedValueParser<Value = Unit> {
    parsed(Unit::ALL.iter().map(|unit| unit.name()))
}

pub(crate) fn units() -> impl TypedValueParser<Value = OneOrAll<Unit>> {
    parsed(Unit::ALL.iter().map(|unit| unit.name()).chain(["all"]))
}

pub(crate) fn camera_rules() -> impl TypedValueParser<Value = OneOrAll<CameraRule>> {
    parsed(CameraRule::ALL.iter().map(|rule| rule.name()).chain(["all"]))
}

pub(crate) fn camera_rule() -> impl TypedValueParser<Value = CameraRule> {
    parsed(CameraRule::ALL.iter().map(|rule| rule.name()))
}

/// A finite number that is not negative.
pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let sound = number.is_finite() && number >= 0.0;
    sound.then_some(number).ok_or_else(|| "must be 0 or more".to_owned())
}

pub(crate) fn preset() -> impl TypedValueParser<Value = Preset> {
    parsed(Preset::ALL.iter().map(|preset| preset.name()))
}

pub(crate) fn distance() -> impl TypedValueParser<Value = Distance> {
    parsed(Distance::ALL.iter().map(|distance| distance.name()))
}

pub(crate) fn centroid_of() -> impl TypedValueParser<Value = CentroidOf> {
    parsed(CentroidOf::ALL.iter().map(|kind| kind.name()))
}

pub(crate) fn split() -> impl TypedValueParser<Value = Split> {
    parsed(Split::ALL.map(Split::name))
}

pub(crate) fn backbone() -> impl TypedValueParser<Value = Backbone> {
    parsed(Backbone::ALL.map(Backbone::name))
}

pub(crate) fn names() -> impl TypedValueParser<Value = Names> {
    parsed(Names::ALL.map(Names::name))
}

/// A rate that may not be exceeded: above 0, at most 1.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 1.0);
    rate.ok_or_else(|| "a rate is a number above 0 and not above 1".to_owned())
}

/// A share of something of which some must be left: from 0, below 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 and below 1".to_owned())
}

/// Every spelling of a layout; help lists one of each.
pub(crate) fn layout() -> impl TypedValueParser<Value = Layout> {
    LayoutParser
}

#[derive(Clone)]
struct LayoutParser;

impl TypedValueParser for LayoutParser {
    type Value = Layout;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Layout, clap::Error> {
        let parser = StringValueParser::new().try_map(|name| name.parse::<Layout>());
        parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Layout::ALL.iter().map(|layout| PossibleValue::new(layout.name()))))
    }
}

/// `KEY=VALUE`, the value a number, `true`, `false` or `null` if it reads as one, else a text;
/// quotation marks make a text of anything.
pub(crate) fn attribute(text: &str) -> Result<(String, Value), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty() && !key.contains('"'));
    let (key, value) = pair.ok_or("an attribute is KEY=VALUE, without quotation marks in KEY")?;
    let plain = |value: &Value| !value.is_array() && !value.is_object();
    let parsed = serde_json::from_str(value).ok().filter(plain);
    Ok((key.to_owned(), parsed.unwrap_or_else(|| value.into())))
}

fn parsed<T>(
    names: impl IntoIterator<Item = impl Into<PossibleValue>>,
) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names.into_iter().map(Into::into)).try_map(|name| name.parse())
}
