//! What clients send: pictures and text fields, within bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest as _, Multipart, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use centroids::data::{EvalTransform, Resizer, decode_bytes};

use super::batcher::{Coming, Prepared};
use super::limits::{Place, blocking};
use super::problem::Problem;
use super::state::{App, Loaded};

/// Text fields of a request, and bytes of one.
const MOST_FIELDS: usize = 256;
const LONGEST_FIELD: usize = 8192;

/// A picture as it was sent.
#[derive(Clone)]
pub(crate) struct Picture {
    /// The client's name for it, for answers only.
    pub(crate) name: String,
    /// The file.
    pub(crate) bytes: Bytes,
}

/// Pictures and fields, in their order.
#[derive(Default)]
pub(crate) struct Upload {
    pub(crate) pictures: Vec<Picture>,
    pub(crate) fields: Vec<(String, String)>,
}

/// What a body is, by its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Multipart,
    Picture,
    Json,
}

/// # Errors
/// 415 for anything else.
pub(crate) fn kind(request: &Request) -> Result<Kind, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "multipart/form-data" => Ok(Kind::Multipart),
        "application/json" => Ok(Kind::Json),
        "application/octet-stream" => Ok(Kind::Picture),
        image if image.starts_with("image/") => Ok(Kind::Picture),
        _ => Err(unsupported("multipart/form-data with `image`, or a picture (image/*)")),
    }
}

/// 415.
pub(crate) fn unsupported(wanted: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("send {wanted}"))
}

impl Upload {
    /// Reads a form, or a picture whose fields are query parameters. There is at least one picture.
    ///
    /// # Errors
    /// 400 for a broken form, 413 for a body over the limit, 415 for JSON.
    pub(crate) async fn read(request: Request) -> Result<Upload, Problem> {
        let upload = match kind(&request)? {
            Kind::Multipart => Upload::form(request).await?,
            Kind::Picture => Upload::picture(request).await?,
            Kind::Json => return Err(unsupported("multipart/form-data or a picture (image/*)")),
        };
        if upload.pictures.is_empty() {
            return Err(Problem::invalid("there is no picture: send at least one as `image`"));
        }
        Ok(upload)
    }

    async fn form(request: Request) -> Result<Upload, Problem> {
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|error| Problem::malformed(error.body_text()))?;
        let broken = |error: axum::extract::multipart::MultipartError| {
            Problem::new(error.status(), error.body_text())
        };
        let mut upload = Upload::default();
        while let Some(part) = form.next_field().await.map_err(broken)? {
            let name = part.name().unwrap_or_default().to_owned();
            let file = part.file_name().map(str::to_owned);
            let bytes = part.bytes().await.map_err(broken)?;
            if name == "image" {
                let number = upload.pictures.len() + 1;
                let name = file.unwrap_or_else(|| format!("image {number}"));
                upload.pictures.push(Picture { name, bytes });
                continue;
            }
            if upload.fields.len() == MOST_FIELDS || bytes.len() > LONGEST_FIELD {
                return Err(Problem::too_large(format!(
                    "at most {MOST_FIELDS} fields of {LONGEST_FIELD} bytes"
                )));
            }
            let text = String::from_utf8(bytes.into())
                .map_err(|_| Problem::malformed(format!("field `{name}` is not UTF-8")))?;
            upload.fields.push((name, text));
        }
        Ok(upload)
    }

    async fn picture(request: Request) -> Result<Upload, Problem> {
        let fields = Query::try_from_uri(request.uri());
        let Query(fields) = fields.map_err(|error| Problem::malformed(error.body_text()))?;
        let bytes = body(request).await?;
        Ok(Upload { pictures: vec![Picture { name: "image".to_owned(), bytes }], fields })
    }
}

/// The whole body; its limit is a layer's.
///
/// # Errors
/// 413 beyond the limit, 400 where the client broke off.
pub(crate) async fn body(request: Request) -> Result<Bytes, Problem> {
    to_bytes(request.into_body(), usize::MAX).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.to_string().contains("length limit exceeded") {
                return Problem::too_large("the body is larger than the server allows");
            }
            cause = error.source();
        }
        Problem::malformed("the body ended too early")
    })
}

/// Pictures made ready for the network, and those that are none.
pub(crate) struct Decoded {
    /// `[n, 3, height, width]`.
    pub(crate) prepared: Prepared,
    /// Which pictures these are, `[n]`, ascending.
    pub(crate) readable: Vec<usize>,
    /// The others, with the reason.
    pub(crate) unreadable: Vec<(usize, String)>,
}

/// Decodes pictures one after the other, so that one request holds one decoded picture at a time;
/// as many requests as there are cores do so at once.
///
/// # Errors
/// 500.
pub(crate) async fn decode(
    app: &App,
    loaded: &Loaded,
    pictures: Vec<Picture>,
    place: Place,
) -> Result<Decoded, Problem> {
    let permit = app.decoders.clone().acquire_owned().await;
    let (transform, max_pixels) = (EvalTransform(*loaded.model.embedder.input()), app.max_pixels);
    blocking(place, move || {
        let _permit = permit;
        let start = Instant::now();
        let decoded = decode_all(&pictures, transform, max_pixels);
        metrics::histogram!("decode_seconds").record(start.elapsed());
        decoded
    })
    .await
}

fn decode_all(pictures: &[Picture], transform: EvalTransform, max_pixels: u64) -> Decoded {
    let (mut resizer, mut readable, mut unreadable) = (Resizer::default(), vec![], vec![]);
    let mut prepared = Prepared::default();
    for (row, Picture { name, bytes }) in pictures.iter().enumerate() {
        // A decoder's fault is the picture's: whoever sent it learns so, nobody else.
        match catch_unwind(AssertUnwindSafe(|| decode_bytes(bytes, name, max_pixels))) {
            Ok(Ok(image)) => {
                transform.append(&image, &mut resizer, &mut prepared.values);
                readable.push(row);
            }
            Ok(Err(error)) => unreadable.push((row, error.to_string())),
            Err(_) => unreadable.push((row, format!("`{name}`: cannot be decoded"))),
        }
    }
    prepared.count = readable.len();
    Decoded { prepared, readable, unreadable }
}

/// Vectors of pictures, and what was not readable.
pub(crate) struct Embedded {
    /// `[dim]` each.
    pub(crate) vectors: Vec<Vec<f32>>,
    /// Which pictures these are, ascending.
    pub(crate) readable: Vec<usize>,
    /// The others, with the reason.
    pub(crate) unreadable: Vec<(usize, String)>,
}

/// Decodes and embeds what can be read of `pictures`.
///
/// # Errors
/// 413 or 429 for more pictures than there are places, 500.
pub(crate) async fn embed(
    app: &App,
    loaded: &Arc<Loaded>,
    pictures: Vec<Picture>,
    place: Place,
) -> Result<Embedded, Problem> {
    let coming: Coming = loaded.batcher.announce();
    let places = vec![place.clone(), app.places.take_others(pictures.len())?];
    let Decoded { prepared, readable, unreadable } = decode(app, loaded, pictures, place).await?;
    let start = Instant::now();
    let vectors = loaded.batcher.embed(prepared, places, coming).await?;
    metrics::histogram!("embed_wait_seconds").record(start.elapsed());
    Ok(Embedded { vectors, readable, unreadable })
}

/// As [`embed`], all of them or none.
///
/// # Errors
/// 422 for one that is not readable, and those of [`embed`].
pub(crate) async fn embed_all(
    app: &App,
    loaded: &Arc<Loaded>,
    pictures: Vec<Picture>,
    place: Place,
) -> Result<Vec<Vec<f32>>, Problem> {
    let embedded = embed(app, loaded, pictures, place).await?;
    match embedded.unreadable.into_iter().next() {
        Some((_, reason)) => Err(Problem::invalid(reason)),
        None => Ok(embedded.vectors),
    }
}
