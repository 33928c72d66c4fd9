//! The routes, and the layers around them.

mod classes;
mod embed;
mod explain;
mod health;
mod members;
mod model;
mod search;

use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use super::auth::{may_read, may_write};
use super::limits::admit;
use super::observe::{REQUEST_ID, observe};
use super::problem::{Problem, complete};
use super::state::Shared;
use super::{openapi, page};
use crate::cli::ServiceArgs;

/// Pages load what they are made of from here and nothing else; Swagger's sets styles by itself.
const PAGE_POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; \
                           base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const MANUAL_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
                             img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                             frame-ancestors 'none'";

/// Everything that is served.
///
/// # Errors
/// An origin for `--cors` that is none.
pub(crate) fn router(app: &Shared, service: &ServiceArgs) -> anyhow::Result<Router> {
    let (api, document) = OpenApiRouter::with_openapi(openapi::frame())
        .merge(reading(app))
        .merge(writing(app))
        .merge(open())
        .merge(measured(app))
        .split_for_parts();
    let document = openapi::complete(document);
    let shown = document.clone();
    let manual = SwaggerUi::new("/docs")
        .config(utoipa_swagger_ui::Config::from("/openapi.json").try_it_out_enabled(true));
    let limits = &service.limits;
    let body = (limits.max_body as usize) << 20;
    let time = Duration::from_secs(limits.timeout.into());
    // The first layer is the outermost.
    let layers = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(from_fn(observe))
        .layer(from_fn(guard))
        .layer(cors(&service.cors)?)
        .layer(from_fn(complete))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, time))
        .layer(RequestBodyLimitLayer::new(body))
        .layer(DefaultBodyLimit::disable());
    let router = Router::from(manual)
        .merge(page::routes())
        .merge(api)
        .route("/openapi.json", routing::get(move || async move { Json(shown) }))
        .fallback(|| async {
            Problem::missing("there is nothing at this path; /docs/ lists what there is")
        })
        .method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED })
        .layer(layers)
        .with_state(app.clone());
    Ok(router)
}

/// What needs a token that may read.
fn reading(app: &Shared) -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(model::model))
        .routes(routes!(embed::embed))
        .routes(routes!(search::search))
        .routes(routes!(explain::explain))
        .routes(routes!(classes::list))
        .routes(routes!(classes::get))
        .routes(routes!(members::image))
        .route_layer(from_fn_with_state(app.clone(), admit))
        .route_layer(from_fn_with_state(app.clone(), may_read))
}

/// What needs a token that may write.
fn writing(app: &Shared) -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(classes::put, classes::delete))
        .routes(routes!(classes::merge))
        .routes(routes!(members::delete))
        .routes(routes!(members::relabel))
        .routes(routes!(members::quarantine))
        .route_layer(from_fn_with_state(app.clone(), admit))
        .route_layer(from_fn_with_state(app.clone(), may_write))
}

/// What anybody may see.
fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(health::healthz)).routes(routes!(health::readyz))
}

/// Counts say something about who uses the service: they need a token too. They need no place, so
/// that a full service can still be watched.
fn measured(app: &Shared) -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(health::metrics))
        .route_layer(from_fn_with_state(app.clone(), may_read))
}

fn cors(origins: &[String]) -> anyhow::Result<CorsLayer> {
    let origin = |text: &String| {
        text.parse::<HeaderValue>().with_context(|| format!("--cors {text}: not an origin"))
    };
    if origins.is_empty() {
        return Ok(CorsLayer::new());
    }
    Ok(CorsLayer::new()
        .allow_origin(origins.iter().map(origin).collect::<anyhow::Result<Vec<_>>>()?)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([REQUEST_ID, RETRY_AFTER]))
}

/// Headers that tell browsers what not to do.
async fn guard(request: Request, next: Next) -> Response {
    let of_manual = request.uri().path().starts_with("/docs");
    let mut response = next.run(request).await;
    let policy = if of_manual { MANUAL_POLICY } else { PAGE_POLICY };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Problem::internal(text.unwrap_or("a panic")).into_response()
}
