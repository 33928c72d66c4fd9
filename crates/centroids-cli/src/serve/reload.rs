//! Another model, gallery or calibration without a restart.

use super::state::{Loaded, Shared};

/// Opens everything anew and serves it from the next request on; requests in work keep what they
/// began with. Where something cannot be opened, what is served stays.
pub(crate) async fn reload(app: &Shared) {
    let (source, batching) = (app.source.clone(), app.batching);
    let opened = tokio::task::spawn_blocking(move || Loaded::open(&source, batching)).await;
    let outcome = match opened {
        Ok(Ok(loaded)) => {
            tracing::info!(model = loaded.fingerprint, "reloaded");
            app.replace(loaded);
            "done"
        }
        Ok(Err(error)) => {
            tracing::error!(error = format!("{error:#}"), "not reloaded; the old one stays");
            "failed"
        }
        Err(error) => {
            tracing::error!(%error, "not reloaded; the old one stays");
            "failed"
        }
    };
    metrics::counter!("reloads_total", "outcome" => outcome).increment(1);
}

/// Reloads whenever SIGHUP comes, from now on.
///
/// # Errors
/// When the system does not hand signals on.
pub(crate) fn on_hangup(app: Shared) -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut hangups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
    Ok(async move {
        #[cfg(unix)]
        while hangups.recv().await.is_some() {
            reload(&app).await;
        }
        #[cfg(not(unix))]
        drop(app);
    })
}
