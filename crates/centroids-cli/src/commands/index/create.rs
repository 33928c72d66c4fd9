//! `centroids index create`

use std::time::{SystemTime, UNIX_EPOCH};

use centroids::core::{CentroidOf, Metric};
use centroids::model::parse_device;
use centroids::pipeline::{gallery_settings, open_model};
use centroids::store::{Precision, Settings, create_gallery};
use serde_json::json;

use crate::cli::{CreateIndexArgs, KeptArgs, Width};
use crate::output::{Output, text};

const DAY: f64 = 86_400.0;

pub(super) fn run(arguments: &CreateIndexArgs, output: &Output) -> anyhow::Result<()> {
    let settings = match &arguments.model {
        Some(model) => gallery_settings(&open_model(model, &parse_device("cpu")?)?)?,
        None => Settings::new(arguments.dim.unwrap_or_default()),
    };
    let settings = kept(settings, &arguments.kept);
    let gallery = create_gallery(&arguments.file, &settings)?;
    let settings = gallery.settings();
    let of =
        if settings.model.is_empty() { String::new() } else { format!(" of {}", settings.model) };
    output.line(format!(
        "empty gallery for {} dimensions{of} in {}",
        settings.dim,
        arguments.file.display()
    ));
    output.value(&json!({ "file": text(&arguments.file), "settings": settings }));
    Ok(())
}

/// The settings with what was typed.
pub(super) fn kept(settings: Settings, arguments: &KeptArgs) -> Settings {
    let default = Metric { centroid_of: CentroidOf::Raw, ..settings.metric() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Settings {
        precision: match arguments.precision {
            Width::F32 => Precision::F32,
            Width::F16 => Precision::F16,
        },
        sub_centroids: arguments.sub_centroids,
        half_life: arguments.half_life.map(|days| days * DAY),
        reference_time: now.map_or(0.0, |now| now.as_secs_f64().floor()),
        ..settings.with_metric(arguments.metric.over(default))
    }
}
