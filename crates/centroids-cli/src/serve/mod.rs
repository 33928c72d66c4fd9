//! `centroids serve`: search and a living gallery over HTTP.
//!
//! The web layer never sees tensors: pictures go to [`inference`], vectors come back. The model layer
//! never sees HTTP. A request passes, from the outside: [`observe`] (id, log, figures, headers), a time
//! limit, CORS, [`auth`], a bound on the requests at work, a bound on the body, its route.

mod auth;
mod connections;
mod inference;
mod observe;
mod openapi;
mod page;
mod problem;
mod question;
mod routes;
mod state;
mod upload;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use centroids::core::Calibration;
use centroids::pipeline::check_gallery_model;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

pub(crate) use auth::Tokens;
pub(crate) use inference::Batching;
use inference::{Inference, ModelInfo};
use state::{App, Parts, Shared};

/// A service to be.
pub(crate) struct Service {
    pub(crate) model: PathBuf,
    pub(crate) device: String,
    pub(crate) store: PathBuf,
    pub(crate) calibration: Option<Calibration>,
    pub(crate) uploads: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) tokens: Tokens,
    pub(crate) cors: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) batching: Batching,
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of a body.
    pub(crate) max_body: usize,
    /// Pixels of a picture.
    pub(crate) max_pixels: u64,
    /// Requests at work at a time.
    pub(crate) max_requests: usize,
    /// Time from the first byte to the answer.
    pub(crate) timeout: Duration,
    /// How long accepted requests may take to end when the service is told to stop.
    pub(crate) grace: Duration,
}

/// Serves until told to stop; `ready` is told the address.
///
/// # Errors
/// Whatever keeps it from starting: model, gallery, address, a public address without a token.
pub(crate) fn run(service: Service, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<()> {
    ensure!(
        service.listen.ip().is_loopback() || !service.tokens.is_empty(),
        "{} can be reached from other machines: give a token (--token-file or CENTROIDS_TOKEN), or \
         listen on 127.0.0.1",
        service.listen
    );
    let runtime = tokio::runtime::Runtime::new().context("cannot start the service's threads")?;
    runtime.block_on(serve(service, ready))
}

async fn serve(service: Service, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<()> {
    let Service { listen, limits, .. } = service;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let app = app(service)?;
    check_model(&app, &app.inference.model())?;
    let router = openapi::router(app.clone(), &limits);
    ready(address);
    tracing::info!(%address, model = app.inference.model().fingerprint, "serving");
    let stop = connections::told_to_stop(app)?;
    connections::serve(listener, router, limits, stop).await;
    tracing::info!("stopped");
    Ok(())
}

fn app(service: Service) -> anyhow::Result<App> {
    let Service {
        model, device, store, calibration, uploads, tokens, cors, limits, batching, ..
    } = service;
    std::fs::create_dir_all(&uploads)
        .with_context(|| format!("cannot make {}", uploads.display()))?;
    // Keys of members are paths, which mean the same wherever the service is started.
    let uploads = uploads.canonicalize()?;
    let inference = Inference::start(&model, &device, batching)?;
    let Limits { max_pixels, max_requests, .. } = limits;
    let recorder = recorder()?;
    Shared::new(Parts {
        inference,
        store,
        calibration,
        tokens,
        cors,
        uploads,
        max_pixels,
        max_requests,
        recorder,
    })
}

/// Refuses a model whose vectors the gallery does not hold.
fn check_model(app: &Shared, model: &ModelInfo) -> anyhow::Result<()> {
    let gallery = app.searched();
    check_gallery_model(gallery.as_ref(), &model.path, &model.fingerprint, false)?;
    let dim = gallery.settings().dim;
    ensure!(
        dim == model.dim,
        "{}: embeds to {} dimensions, {} holds {dim}",
        model.path.display(),
        model.dim,
        app.store.display()
    );
    Ok(())
}

/// Opens model and gallery again, as far as they are sound; requests at work keep the old ones.
async fn reload(app: &App) -> anyhow::Result<()> {
    let this = app.clone();
    let model = app.inference.reload(move |model| check_model(&this, model)).await?;
    let this = app.clone();
    tokio::task::spawn_blocking(move || this.reopen()).await??;
    tracing::info!(model = model.fingerprint, "model and gallery reloaded");
    Ok(())
}

/// Where figures are gathered.
fn recorder() -> anyhow::Result<PrometheusHandle> {
    const SECONDS: [f64; 14] =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    let sizes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &sizes)?;
    Ok(builder.install_recorder()?)
}

/// The log goes to stderr: lines on a terminal, JSON elsewhere. `CENTROIDS_LOG` chooses what is said.
pub(crate) fn start_log(verbose: bool) {
    let level = if verbose { "debug,hyper=info" } else { "info" };
    let filter = EnvFilter::try_from_env("CENTROIDS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only the first log of a process counts.
    let _ = match std::io::stderr().is_terminal() {
        true => log.try_init(),
        false => log.json().flatten_event(true).try_init(),
    };
}
