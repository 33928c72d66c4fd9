//! What a request carries: pictures and fields, within bounds.

use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use centroids::data::{EvalTransform, InputSpec, RgbImage, decode_bytes};
use futures_util::future::try_join_all;

use super::problem::Problem;
use super::state::{Shared, blocking};

/// Most pictures of a request.
const MOST_PICTURES: usize = 64;

/// A picture as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// The name it was sent under; only ever shown.
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// Pictures, and fields in their order.
#[derive(Debug, Default)]
pub(super) struct Upload {
    pub(super) pictures: Vec<Picture>,
    pub(super) fields: Vec<(String, String)>,
}

impl Upload {
    /// Reads `multipart/form-data`, whose parts `image` are pictures and whose others are fields, or a
    /// picture as the whole body, with fields in the address.
    ///
    /// # Errors
    /// 400 malformed, 413 too large, 415 something else, 422 without a picture or with too many.
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let mut upload = Self { fields: query_fields(&request)?, ..Self::default() };
        match kind(&request).as_str() {
            "multipart/form-data" => upload.read_parts(request).await?,
            "application/octet-stream" => upload.read_body(request).await?,
            kind if kind.starts_with("image/") => upload.read_body(request).await?,
            other => {
                let detail = format!(
                    "`{other}` is not taken here: send multipart/form-data with parts named `image`, \
                     or a picture as image/*"
                );
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
            }
        }
        match upload.pictures.len() {
            0 => Err(Problem::unprocessable("there is no picture: name its part `image`")),
            1..=MOST_PICTURES => Ok(upload),
            many => Err(Problem::unprocessable(format!(
                "{many} pictures are too many: send at most {MOST_PICTURES} at a time"
            ))),
        }
    }

    async fn read_parts(&mut self, request: Request<Body>) -> Result<(), Problem> {
        let parts = Multipart::from_request(request, &()).await;
        let mut parts = parts.map_err(|error| rejected(error.status(), error.body_text()))?;
        let broken = |error: axum::extract::multipart::MultipartError| {
            rejected(error.status(), error.body_text())
        };
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            let name = part.name().unwrap_or_default().to_owned();
            if name == "image" || part.file_name().is_some() {
                let name = part.file_name().unwrap_or("image").to_owned();
                let bytes = part.bytes().await.map_err(broken)?;
                self.pictures.push(Picture { name, bytes });
            } else {
                self.fields.push((name, part.text().await.map_err(broken)?));
            }
        }
        Ok(())
    }

    async fn read_body(&mut self, request: Request<Body>) -> Result<(), Problem> {
        let bytes = read_bytes(request).await?;
        self.pictures.push(Picture { name: "image".to_owned(), bytes });
        Ok(())
    }

    /// The last value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let named = self.fields.iter().rev().find(|(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }
}

/// The whole body.
///
/// # Errors
/// 413 too large, 400 broken off.
pub(super) async fn read_bytes(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &())
        .await
        .map_err(|error| rejected(error.status(), error.body_text()))
}

/// A rejection of the framework in our words.
pub(super) fn rejected(status: StatusCode, text: String) -> Problem {
    Problem::new(status, text)
}

/// The type of the body, without parameters, in lower case.
pub(super) fn kind(request: &Request) -> String {
    let value = request.headers().get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Fields of the address.
pub(super) fn query_fields(request: &Request) -> Result<Vec<(String, String)>, Problem> {
    axum::extract::Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map(|query| query.0)
        .map_err(|error| {
            rejected(error.into_response().status(), "the query string is malformed".to_owned())
        })
}

impl Shared {
    /// Decodes a picture, strictly, within the limit of pixels.
    ///
    /// # Errors
    /// 422, naming the picture.
    pub(super) async fn decode(&self, picture: Picture) -> Result<RgbImage, Problem> {
        let max_pixels = self.max_pixels;
        self.decoding(move || decode(&picture, max_pixels)).await
    }

    /// Decodes a picture and makes it what the network takes: `[3, h, w]`.
    ///
    /// # Errors
    /// 422, naming the picture.
    pub(super) async fn prepare(
        &self,
        picture: Picture,
        input: InputSpec,
    ) -> Result<Vec<f32>, Problem> {
        let max_pixels = self.max_pixels;
        let work = move || decode(&picture, max_pixels).map(|i| EvalTransform(input).apply(&i));
        self.decoding(work).await
    }

    async fn decoding<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.decoders.clone().acquire_owned().await;
        blocking(move || {
            let (_permit, start) = (permit, Instant::now());
            let done = work();
            metrics::histogram!("stage_duration_seconds", "stage" => "decode")
                .record(start.elapsed());
            done
        })
        .await
    }

    /// Embeds pictures, all or none.
    ///
    /// # Errors
    /// 422 for the first that is broken, 429 when there is no room.
    pub(super) async fn embed(&self, pictures: &[Picture]) -> Result<Vec<Vec<f32>>, Problem> {
        let input = self.inference.model().input;
        let preparing = pictures.iter().map(|picture| self.prepare(picture.clone(), input));
        let prepared = try_join_all(preparing).await?;
        self.inference.embed(prepared, input).await
    }
}

fn decode(picture: &Picture, max_pixels: u64) -> Result<RgbImage, Problem> {
    decode_bytes(&picture.bytes, &picture.name, max_pixels).map_err(Problem::unprocessable)
}
