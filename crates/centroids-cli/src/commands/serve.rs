//! `centroids serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use centroids::pipeline::read_calibration;
use serde_json::json;

use super::index::{model_path, open};
use crate::cli::{LimitArgs, ServeArgs};
use crate::output::Output;
use crate::serve::{self, Batching, Limits, Service, Tokens};

pub(crate) fn run(arguments: ServeArgs, output: &Output) -> anyhow::Result<ExitCode> {
    let service = Service {
        model: model_path(arguments.model.as_deref(), &open(&arguments.store)?)?,
        device: arguments.device,
        calibration: arguments.calibration.as_deref().map(read_calibration).transpose()?,
        uploads: arguments.uploads.unwrap_or_else(|| uploads_of(&arguments.store)),
        store: arguments.store,
        listen: arguments.listen,
        tokens: Tokens::gather(arguments.token_file.as_deref())?,
        cors: arguments.cors,
        limits: limits(&arguments.limits),
        batching: batching(&arguments.limits),
    };
    serve_and_say(service, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Serves until told to stop.
pub(crate) fn serve_and_say(service: Service, output: &Output) -> anyhow::Result<()> {
    serve::start_log(output.verbose());
    serve::run(service, |address: SocketAddr| {
        output.line(format!("serving on http://{address}"));
        output.value(&json!({ "address": address, "url": format!("http://{address}") }));
    })
}

/// Where pictures that are sent to a gallery's service are kept.
pub(crate) fn uploads_of(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".uploads");
    name.into()
}

pub(crate) fn limits(arguments: &LimitArgs) -> Limits {
    Limits {
        max_body: arguments.max_body as usize * 1_000_000,
        max_pixels: u64::from(arguments.max_pixels) * 1_000_000,
        max_requests: arguments.max_requests as usize,
        timeout: Duration::from_secs(arguments.timeout.into()),
        grace: Duration::from_secs(arguments.grace.into()),
    }
}

pub(crate) fn batching(arguments: &LimitArgs) -> Batching {
    Batching {
        queue: arguments.queue as usize,
        batch: arguments.batch as usize,
        patience: Duration::from_millis(arguments.latency_budget.into()),
    }
}
