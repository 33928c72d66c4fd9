//! What the routes have in common in the OpenAPI document.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{OpenApi as _, PartialSchema as _, ToSchema as _};

use super::problem::Document;

/// The frame that routes are put into.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "centroids",
        description = "Image retrieval by class centroids. Errors are problem documents (RFC 9457).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "search", description = "Which identity does a picture show?"),
        (name = "gallery", description = "Identities and their images"),
        (name = "service", description = "The service itself")
    )
)]
struct Frame;

const SCHEME: &str = "token";

/// Refusals that every route of `/v1` can give.
const REFUSALS: [(&str, &str); 7] = [
    ("400", "The request is malformed"),
    ("401", "A token is needed that is known here"),
    ("403", "The token may not do this, or the server changes nothing"),
    ("408", "The request took longer than the server allows"),
    ("429", "As much is in work as is taken on; `Retry-After` says when to come back"),
    ("500", "The server failed; its log says why"),
    ("503", "The gallery cannot be used at the moment"),
];

/// Refusals of routes that read a body.
const BODY_REFUSALS: [(&str, &str); 3] = [
    ("413", "The body, or the number of pictures, is larger than the server allows"),
    ("415", "The body is of a type that this route does not read"),
    ("422", "The body is well-formed, but nothing can be done with it"),
];

/// The empty document.
pub(crate) fn frame() -> OpenApi {
    Frame::openapi()
}

/// Adds the refusals, their schema and the security scheme.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Document::name().into_owned(), Document::schema());
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme(SCHEME, bearer);
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            if path.starts_with("/v1/") {
                secure(operation);
            }
        }
    }
    document
}

fn secure(operation: &mut Operation) {
    let none: [&str; 0] = [];
    // Both: a server without tokens asks for none.
    operation.security =
        Some(vec![SecurityRequirement::default(), SecurityRequirement::new(SCHEME, none)]);
    let of_body = if operation.request_body.is_some() { &BODY_REFUSALS[..] } else { &[] };
    for (status, description) in REFUSALS.iter().chain(of_body) {
        let responses = &mut operation.responses.responses;
        let refusal = || RefOr::T(refusal(description));
        responses.entry((*status).to_owned()).or_insert_with(refusal);
    }
}

fn refusal(description: &str) -> Response {
    let schema = Ref::from_schema_name(Document::name());
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", Content::new(Some(schema)))
        .build()
}
