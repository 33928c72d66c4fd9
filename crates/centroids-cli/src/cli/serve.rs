//! `centroids serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser};

/// Serve a gallery over HTTP: search, add, look after, with a page for people
///
/// GET / is the page, /docs/ the manual of every route, /openapi.json its description for programs,
/// /metrics what Prometheus reads. docs/http-api.md has an example of each route.
///
/// Only this machine can reach it, unless --listen names another address, and then a token must be
/// set: a line `read TOKEN` or `write TOKEN` each in a file (--token-file), or the environment
/// variables CENTROIDS_READ_TOKEN and CENTROIDS_TOKEN (which may write). Clients send
/// `Authorization: Bearer TOKEN`. There is no TLS here: put a proxy in front (docs/serving.md).
///
/// SIGTERM and SIGINT finish what was accepted; SIGHUP opens model, gallery and calibration anew
/// without losing a request. CENTROIDS_LOG sets what is logged (error, warn, info, debug).
///
/// Examples:
///   centroids serve --store shop.gallery
///   centroids serve --store shop.gallery --model runs/shop --calibration shop.json
///   centroids serve --store shop.gallery --listen 0.0.0.0:8080 --token-file tokens
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArgs {
    /// Gallery of `centroids index`.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: PathBuf,
    /// Run folder, checkpoint or model file [default: the one named in the gallery]
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Say how sure first hits are, and which pictures are unknown: a file that `centroids
    /// calibrate` wrote for the same model and metric.
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Device: cpu, or cuda:N, rocm:N, vulkan:N, metal:N where compiled in.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
}

/// Who may do what, and how much.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServiceArgs {
    /// Address and port; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// Tokens, a line `read TOKEN` or `write TOKEN` each; a line of a token alone may write.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Change nothing, whoever asks.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Folder for pictures that are added, by the hash of their content [default: the gallery's
    /// name and `.uploads`]
    #[arg(long, value_name = "DIR")]
    pub(crate) uploads: Option<PathBuf>,
    /// Let pages of this origin call from browsers, e.g. https://shop.example; may be given several
    /// times.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

impl ServiceArgs {
    /// What is usual, at an address.
    pub(crate) fn at(listen: SocketAddr) -> ServiceArgs {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            service: ServiceArgs,
        }
        ServiceArgs { listen, ..Alone::parse_from(["serve"]).service }
    }
}

/// What keeps the service within its bounds.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Largest request body, in MiB.
    #[arg(long, default_value_t = 16, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_body: u32,
    /// Largest picture, in megapixels.
    #[arg(long, default_value_t = 50, value_name = "MP", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) max_pixels: u32,
    /// Seconds that a request may take.
    #[arg(long, default_value_t = 30, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) timeout: u32,
    /// Requests, and pictures of requests, in work or waiting; one more is told to come back (429).
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) queue: u32,
    /// Open connections; further ones wait to be accepted.
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) connections: u32,
    /// Pictures of concurrent requests that are embedded together.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: u32,
    /// How long a picture may wait for others that are being decoded, to be embedded with them.
    #[arg(long, default_value_t = 5, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=10000))]
    pub(crate) latency_budget_ms: u32,
}
