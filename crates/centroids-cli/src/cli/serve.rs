//! `centroids serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Serve a gallery over HTTP, with a web page
///
/// Search by pictures or vectors, add and remove images, browse classes: /docs/ has the routes, / the
/// page. The model is the one that the gallery was made for, unless --model names its file.
///
/// It listens on this machine only. To be reached from others it wants tokens: a file of lines `read
/// TOKEN` and `write TOKEN` (--token-file), or CENTROIDS_READ_TOKEN and CENTROIDS_TOKEN in the
/// environment; clients send `Authorization: Bearer TOKEN`. Put a proxy with TLS in front of it.
///
/// SIGTERM or Ctrl-C: what was accepted is finished. SIGHUP: model and gallery are opened again.
/// The log goes to stderr, as JSON where that is no terminal; CENTROIDS_LOG=debug says more.
///
/// Examples:
///   centroids serve --store shop.gallery
///   centroids serve --store shop.gallery --calibration known.json --listen 127.0.0.1:9000
///   centroids serve --store shop.gallery --listen 0.0.0.0:8080 --token-file tokens
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArgs {
    /// The gallery, made by `centroids index create`.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: PathBuf,
    /// Checkpoint, model file or run folder [default: the one the gallery names]
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// cpu, or cuda, rocm, vulkan, metal where compiled in; `cuda:1` is the second one.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Address and port; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// File of `centroids calibrate`: hits get a confidence, far ones are unknown.
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    /// Folder for pictures that are sent [default: STORE.uploads]
    #[arg(long, value_name = "DIR")]
    pub(crate) uploads: Option<PathBuf>,
    /// File of tokens, lines `read TOKEN` or `write TOKEN`.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Site whose pages may use the service, e.g. https://shop.example; may be repeated.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// What requests may take.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Most megabytes of a request.
    #[arg(long, default_value_t = 32, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_body: u32,
    /// Most megapixels of a picture.
    #[arg(long, default_value_t = 50, value_name = "MP", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) max_pixels: u32,
    /// Most requests at work; others are told to come back (429).
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max_requests: u32,
    /// Most seconds of a request.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) timeout: u32,
    /// Most seconds that accepted requests get when the service is told to stop.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub(crate) grace: u32,
    /// Pictures that may wait for the network; others are told to come back (429).
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) queue: u32,
    /// Most pictures that go through the network together.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) batch: u32,
    /// How long a picture waits for others, in milliseconds, while the network is idle.
    #[arg(long, default_value_t = 2, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) latency_budget: u32,
}
