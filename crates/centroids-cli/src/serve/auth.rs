//! Who may do what: tokens with a scope, and guards against other web pages.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use centroids::store::ContentHash;
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use super::state::App;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Read,
    Write,
}

/// Tokens, as hashes: what is not kept cannot be logged.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Vec<(Scope, ContentHash)>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Those of the file, lines of `read TOKEN` and `write TOKEN`, and of the variables
    /// `CENTROIDS_READ_TOKEN` and `CENTROIDS_TOKEN` (which may write).
    ///
    /// # Errors
    /// A file that cannot be read or holds something else; a token that is too short to be one.
    pub(crate) fn gather(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut tokens = Self::default();
        for (variable, scope) in
            [("CENTROIDS_READ_TOKEN", Scope::Read), ("CENTROIDS_TOKEN", Scope::Write)]
        {
            if let Ok(token) = std::env::var(variable) {
                tokens.add(scope, &token).with_context(|| variable.to_owned())?;
            }
        }
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            tokens.parse(&text).with_context(|| file.display().to_string())?;
        }
        Ok(tokens)
    }

    fn parse(&mut self, text: &str) -> anyhow::Result<()> {
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let scope = match line.split_once(char::is_whitespace) {
                Some(("read", token)) => (Scope::Read, token.trim()),
                Some(("write", token)) => (Scope::Write, token.trim()),
                // The line may be a token: it is not shown.
                _ => bail!("line {number} is neither `read TOKEN` nor `write TOKEN`"),
            };
            self.add(scope.0, scope.1).with_context(|| format!("line {number}"))?;
        }
        ensure!(!self.is_empty(), "has no token; lines are `read TOKEN` or `write TOKEN`");
        Ok(())
    }

    fn add(&mut self, scope: Scope, token: &str) -> anyhow::Result<()> {
        const SHORTEST: usize = 16;
        ensure!(
            token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic()),
            "a token is at least {SHORTEST} characters without spaces, e.g. of `openssl rand -hex 32`"
        );
        self.0.push((scope, ContentHash::of(token.as_bytes())));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the bearer of a token may do. All tokens are compared, in the same time whichever fits.
    fn scope_of(&self, token: &str) -> Option<Scope> {
        let given = ContentHash::of(token.as_bytes());
        let mut found = None;
        for (scope, hash) in &self.0 {
            if bool::from(hash.0.ct_eq(&given.0)) {
                found = found.max(Some(*scope));
            }
        }
        found
    }

    /// # Errors
    /// 401 without a token that is known, 403 where it may not do this.
    fn check(&self, headers: &HeaderMap, needed: Scope) -> Result<(), Problem> {
        if self.is_empty() {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| {
            let (kind, token) = value.split_once(' ')?;
            kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match token.and_then(|token| self.scope_of(token)) {
            Some(scope) if scope >= needed => Ok(()),
            Some(_) => Err(Problem::new(StatusCode::FORBIDDEN, "this token may only read")),
            None => {
                let how = "send a token of this service: `Authorization: Bearer TOKEN`";
                Err(Problem::new(StatusCode::UNAUTHORIZED, how))
            }
        }
    }
}

/// What a request needs; `None` for what everybody may see: that it lives, the page, the manual.
fn scope_needed(method: &Method, path: &str) -> Option<Scope> {
    if path == "/metrics" {
        return Some(Scope::Read);
    }
    if !path.starts_with("/v1/") {
        return None;
    }
    let asks = matches!(path, "/v1/search" | "/v1/embed" | "/v1/explain");
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Some(Scope::Read),
        Method::POST if asks => Some(Scope::Read),
        _ => Some(Scope::Write),
    }
}

/// Lets through who may.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let (headers, path) = (request.headers(), request.uri().path());
    let checked = match scope_needed(request.method(), path) {
        Some(scope) => from_here(headers, &app).and_then(|()| app.tokens.check(headers, scope)),
        None => Ok(()),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Refuses what the page of another site sends from a visitor's browser. A site can also give its name
/// this machine's address; so where no token protects the service it goes by its own names only.
fn from_here(headers: &HeaderMap, app: &App) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if app.tokens.is_empty() && !is_loopback_name(host) {
        let detail = format!("`{host}` is not this service's name: use localhost or 127.0.0.1");
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    let Some(origin) = text(header::ORIGIN) else {
        return Ok(());
    };
    let own = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    if own || app.cors.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    let detail = format!("pages of {origin} may not use this service; allow them with --cors");
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<std::net::IpAddr>();
    name.is_empty() || name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "0123456789abcdef-read";
    const WRITE: &str = "0123456789abcdef-write";

    fn tokens() -> Tokens {
        let mut tokens = Tokens::default();
        tokens.parse(&format!("# both\nread {READ}\n\n write\t{WRITE}\n")).unwrap();
        tokens
    }

    fn status(tokens: &Tokens, authorization: Option<&str>, scope: Scope) -> Option<u16> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        tokens.check(&headers, scope).err().map(|problem| problem.into_response().status().into())
    }

    #[test]
    fn a_token_opens_its_scope_and_those_below() {
        let (tokens, bearer) = (tokens(), |token: &str| format!("Bearer {token}"));
        assert_eq!(status(&tokens, Some(&bearer(WRITE)), Scope::Write), None);
        assert_eq!(status(&tokens, Some(&bearer(WRITE)), Scope::Read), None);
        assert_eq!(status(&tokens, Some(&bearer(READ)), Scope::Read), None);
        assert_eq!(status(&tokens, Some(&bearer(READ)), Scope::Write), Some(403));
        assert_eq!(status(&tokens, Some(&bearer("guess")), Scope::Read), Some(401));
        assert_eq!(status(&tokens, Some(READ), Scope::Read), Some(401));
        assert_eq!(status(&tokens, None, Scope::Read), Some(401));
        assert_eq!(status(&Tokens::default(), None, Scope::Write), None);
        assert_eq!(format!("{tokens:?}"), "2 tokens");
    }

    #[test]
    fn a_file_of_something_else_is_refused_without_showing_it() {
        for text in ["", "# none", "secret-secret-secret", "read short", "admin 0123456789abcdef"] {
            let error = Tokens::default().parse(text).unwrap_err();
            assert!(!format!("{error:#}").contains("secret-"), "{error:#}");
        }
    }

    #[test]
    fn only_asking_is_reading() {
        let needed = |method, path| scope_needed(&method, path);
        assert_eq!(needed(Method::GET, "/v1/classes"), Some(Scope::Read));
        assert_eq!(needed(Method::POST, "/v1/search"), Some(Scope::Read));
        assert_eq!(needed(Method::POST, "/v1/classes/merge"), Some(Scope::Write));
        assert_eq!(needed(Method::DELETE, "/v1/members/1"), Some(Scope::Write));
        assert_eq!(needed(Method::GET, "/metrics"), Some(Scope::Read));
        assert_eq!((needed(Method::GET, "/"), needed(Method::GET, "/healthz")), (None, None));
    }

    #[test]
    fn loopback_has_a_few_names() {
        for host in ["localhost", "localhost:80", "127.0.0.1:8080", "[::1]:8080", "127.9.9.9"] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in ["example.com", "localhost.example.com:80", "10.0.0.1", "[fe80::1]:80"] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }
}
