//! The HTTP service.
//!
//! ```text
//! connection ─▶ request id ─▶ log, times ─▶ problem documents ─▶ time and body limits
//!            ─▶ token ─▶ a place ─▶ route ─▶ decode (threads) ─▶ batcher (one thread) ─▶ gallery
//! ```
//!
//! Nothing that blocks runs on the threads that serve connections. The web layer sees vectors and
//! files, no tensors.

mod auth;
mod batcher;
mod connection;
mod limits;
mod observe;
mod openapi;
mod page;
mod pictures;
mod problem;
mod reload;
mod routes;
mod state;
mod upload;

use std::ffi::OsString;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use serde_json::json;
use tokio::net::TcpListener;

use crate::cli::{LimitArgs, ServiceArgs};
use crate::interrupt::INTERRUPTED;
use crate::output::Output;
use auth::Access;
use batcher::Batching;
use connection::BoundedListener;
use pictures::Pictures;
pub(crate) use state::Source;
use state::{App, Loaded, Parts, Shared};

/// Beyond the time of a request: for its answer to be read, or the next one to come.
const CONNECTION_GRACE: Duration = Duration::from_secs(30);
/// What has not ended by then, beyond the time of a request, is given up at the end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How often histograms are tidied up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until a signal ends it.
///
/// # Errors
/// What cannot be opened or does not fit, an address without a token that others reach, an address
/// that is taken.
pub(crate) fn run(source: Source, service: &ServiceArgs, output: &Output) -> anyhow::Result<()> {
    let access = Access::new(service.token_file.as_deref(), service.read_only, &service.cors)?;
    ensure!(
        access.is_needed() || service.listen.ip().is_loopback(),
        "--listen {}: others can reach this address, so a token is needed: --token-file FILE or \
         CENTROIDS_TOKEN",
        service.listen
    );
    observe::start_log(output);
    let limits = &service.limits;
    let parts = Parts {
        batching: Batching {
            size: limits.batch as usize,
            budget: Duration::from_millis(limits.latency_budget_ms.into()),
        },
        places: limits.queue as usize,
        max_pixels: u64::from(limits.max_pixels) * 1_000_000,
        pictures: Pictures::new(&uploads(service.uploads.as_deref(), &source.store))?,
        metrics: observe::start_metrics()?,
        access,
        source,
    };
    let loaded = Loaded::open(&parts.source, parts.batching)?;
    let app = Arc::new(App::new(parts, loaded));
    let router = routes::router(&app, service)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(app, router, service, output));
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    served
}

/// The folder given, or the one beside the gallery.
fn uploads(given: Option<&Path>, store: &Path) -> PathBuf {
    given.map_or_else(
        || {
            let mut name: OsString = store.as_os_str().to_owned();
            name.push(".uploads");
            name.into()
        },
        Path::to_owned,
    )
}

async fn serve(
    app: Shared,
    router: Router,
    service: &ServiceArgs,
    output: &Output,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(service.listen)
        .await
        .with_context(|| format!("cannot listen on {}", service.listen))?;
    let address = listener.local_addr()?;
    let LimitArgs { timeout, connections, .. } = service.limits;
    let timeout = Duration::from_secs(timeout.into());
    let mut end = EndSignal::new()?;
    let listener = BoundedListener::new(listener, connections as usize, timeout + CONNECTION_GRACE);
    let hangups = reload::on_hangup(app.clone())?;
    announce(&app, address, output);
    tokio::spawn(hangups);
    let metrics = app.metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics.run_upkeep();
        }
    });
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        end.wait().await;
        tracing::info!("ending: what was accepted is finished first");
        // A second signal ends the process at once.
        tokio::spawn(async move {
            end.wait().await;
            std::process::exit(INTERRUPTED.into());
        });
        let _ = stop.send(true);
    });
    let overdue = async {
        // An error means that nobody will stop it any more, since it has ended.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(timeout + SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        served = serving.into_future() => served?,
        () = overdue => tracing::warn!("connections that do not end are closed"),
    }
    tracing::info!("ended");
    Ok(())
}

fn announce(app: &App, address: SocketAddr, output: &Output) {
    let loaded = app.loaded();
    let url = format!("http://{address}");
    tracing::info!(url, model = loaded.fingerprint, store = app.store_name(), "serving");
    output.line(format!("{} is served at {url}", app.store_name()));
    output.value(&json!({ "url": url, "model": loaded.fingerprint }));
}

/// SIGTERM and SIGINT, from when this is made: one that comes before it is waited for is not lost.
struct EndSignal {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl EndSignal {
    #[cfg(unix)]
    fn new() -> std::io::Result<EndSignal> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(EndSignal {
            signals: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?],
        })
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<EndSignal> {
        Ok(EndSignal {})
    }

    async fn wait(&mut self) {
        #[cfg(unix)]
        {
            let [terminate, interrupt] = &mut self.signals;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
