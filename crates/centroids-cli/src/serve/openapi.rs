//! Routes and the document that describes them, from one list.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use super::Limits;
use super::auth::guard;
use super::observe::{explain_bare, make_room, panicked, secure};
use super::problem::Problem;
use super::routes::{classes, embed, explain, health, members, model, search};
use super::state::App;
use super::{observe, page};

#[derive(OpenApi)]
#[openapi(
    info(title = "centroids", description = "Image retrieval by class centroids"),
    modifiers(&Token),
    tags(
        (name = "search", description = "Who or what is on a picture?"),
        (name = "gallery", description = "Classes and their images"),
        (name = "model", description = "What embeds"),
        (name = "health", description = "For load balancers and monitoring"),
    )
)]
struct Description;

/// The one way to prove who one is.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", bearer);
    }
}

fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(search::post))
        .routes(routes!(embed::post))
        .routes(routes!(explain::post))
        .routes(routes!(classes::list))
        .routes(routes!(classes::get, classes::put, classes::delete))
        .routes(routes!(classes::merge))
        .routes(routes!(members::image))
        .routes(routes!(members::delete))
        .routes(routes!(members::relabel))
        .routes(routes!(members::quarantine))
        .routes(routes!(model::get))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// All routes with what surrounds them: the last layer is the outermost.
pub(super) fn router(app: App, limits: &Limits) -> Router {
    let (routes, document) = api().split_for_parts();
    let cors = app.cors.iter().filter_map(|origin| origin.parse().ok()).collect::<Vec<_>>();
    let cors = CorsLayer::new()
        .allow_origin(cors)
        .allow_methods(tower_http::cors::Any)
        .allow_headers([axum::http::header::AUTHORIZATION, axum::http::header::CONTENT_TYPE]);
    routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .route("/", get(page::index))
        .route("/{file}", get(page::file))
        .fallback(|| async { Problem::not_found("there is nothing here; /docs/ has the routes") })
        .method_not_allowed_fallback(|| async {
            let detail = "this address is for another method; /docs/ has the routes";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
        })
        .layer(DefaultBodyLimit::max(limits.max_body))
        .layer(from_fn_with_state(app.clone(), make_room))
        .layer(from_fn_with_state(app.clone(), guard))
        .layer(cors)
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.timeout))
        .layer(from_fn(explain_bare))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(secure))
        .layer(from_fn(observe::observe))
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_says_what_it_answers() {
        let (_, document) = api().split_for_parts();
        let document = serde_json::to_value(&document).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 13, "{:?}", paths.keys());
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                let ok = responses.contains_key("200");
                assert!(ok && operation["summary"].is_string(), "{method} {path}");
                let problems = path == "/healthz" || responses.contains_key("5XX");
                assert!(problems, "{method} {path}: {responses:?}");
            }
        }
    }
}
