//! Connections: taken, bounded in number and time, and brought to their end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::state::App;
use super::{Limits, reload};

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS: usize = 1024;
/// How long a client may take for the head of a request, the time between two requests included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until `stop`, then finishes what was accepted.
///
/// An own loop, because a client that never ends its request's head has to be cut off, which the
/// framework's loop cannot.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut stop: oneshot::Receiver<()>,
) {
    let (open, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file handles, for one: there will be some again.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = &mut stop => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        let connection = open.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that breaks off is no fault.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    tracing::info!("stopping: requests at work are finished");
    if timeout(limits.grace, open.shutdown()).await.is_err() {
        tracing::warn!("some requests were not finished in time");
    }
}

/// Fires at the first interrupt or termination; the second ends the process. A hang-up reloads.
pub(super) fn told_to_stop(app: App) -> anyhow::Result<oneshot::Receiver<()>> {
    let (tell, told) = oneshot::channel();
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        let mut tell = Some(tell);
        loop {
            match signals.next().await {
                Signal::Reload => {
                    if let Err(error) = reload(&app).await {
                        tracing::error!("not reloaded: {error:#}");
                    }
                }
                Signal::Stop => match tell.take() {
                    Some(tell) => _ = tell.send(()),
                    None => std::process::exit(crate::interrupt::INTERRUPTED.into()),
                },
            }
        }
    });
    Ok(told)
}

enum Signal {
    Stop,
    Reload,
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Stop
    }
}
