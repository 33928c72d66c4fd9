//! Who may do what.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use centroids::store::ContentHash;
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use super::state::Shared;

/// Shorter ones can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Looks.
    Read,
    /// Changes.
    Write,
}

/// Tokens and what each opens. Only hashes of them are kept.
pub(crate) struct Access {
    tokens: Vec<(Scope, ContentHash)>,
    read_only: bool,
    /// Sites whose pages may call from browsers.
    origins: Vec<String>,
}

impl Access {
    /// The tokens of a file and of the environment.
    ///
    /// # Errors
    /// A file that cannot be read or is no list of tokens; a token that is too short.
    pub(crate) fn new(
        file: Option<&Path>,
        read_only: bool,
        origins: &[String],
    ) -> anyhow::Result<Access> {
        let mut access = Access { tokens: Vec::new(), read_only, origins: origins.to_vec() };
        if let Some(file) = file {
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            for (line, number) in text.lines().map(str::trim).zip(1..) {
                if !line.is_empty() && !line.starts_with('#') {
                    access
                        .add_line(line)
                        .with_context(|| format!("{}, line {number}", file.display()))?;
                }
            }
            ensure!(access.is_needed(), "{}: holds no token", file.display());
        }
        for (name, scope) in
            [("CENTROIDS_TOKEN", Scope::Write), ("CENTROIDS_READ_TOKEN", Scope::Read)]
        {
            if let Ok(token) = std::env::var(name)
                && !token.is_empty()
            {
                access.add(scope, &token).context(name)?;
            }
        }
        Ok(access)
    }

    fn add_line(&mut self, line: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["read", token] => self.add(Scope::Read, token),
            ["write", token] | [token] => self.add(Scope::Write, token),
            _ => bail!("must be `read TOKEN` or `write TOKEN`"),
        }
    }

    fn add(&mut self, scope: Scope, token: &str) -> anyhow::Result<()> {
        ensure!(
            token.len() >= SHORTEST_TOKEN,
            "a token needs at least {SHORTEST_TOKEN} characters; `openssl rand -hex 32` makes one"
        );
        self.tokens.push((scope, ContentHash::of(token.as_bytes())));
        Ok(())
    }

    /// Whether a token is asked for.
    pub(crate) fn is_needed(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether anybody can change anything.
    pub(crate) fn is_writable(&self) -> bool {
        let may_write = |(scope, _): &(Scope, _)| *scope == Scope::Write;
        !self.read_only && (!self.is_needed() || self.tokens.iter().any(may_write))
    }

    /// Refuses what these headers do not open.
    ///
    /// # Errors
    /// 401 without a token that is known, 403 without the right to it.
    fn check(&self, headers: &HeaderMap, wanted: Scope) -> Result<(), Problem> {
        if wanted == Scope::Write && self.read_only {
            return Err(Problem::new(StatusCode::FORBIDDEN, "this server changes nothing"));
        }
        if !self.is_needed() {
            return check_host(headers).and_then(|()| self.check_origin(headers));
        }
        let refuse = |detail| Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = header.and_then(|header| header.split_once(' ')) else {
            return refuse("send a token: `Authorization: Bearer TOKEN`");
        };
        let granted = self.scope_of(token.trim());
        match granted.filter(|_| scheme.eq_ignore_ascii_case("bearer")) {
            None => refuse("this token is not known here"),
            Some(granted) if granted < wanted => {
                Err(Problem::new(StatusCode::FORBIDDEN, "this token may read, but not write"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Without a token only own pages may ask: a browser sends simple forms for any page of the internet,
    /// and says whose page it was.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(origin) = text(ORIGIN) else { return Ok(()) };
        let own = origin.split_once("://").map(|(_, host)| host) == text(HOST);
        if own || self.origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        let detail = format!("pages of {origin} may not use this server; --cors would let them");
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// Compares hashes of equal length, all of them and in constant time, so that the time says
    /// nothing about any token.
    fn scope_of(&self, token: &str) -> Option<Scope> {
        let given = ContentHash::of(token.as_bytes());
        self.tokens.iter().fold(None, |found, (scope, hash)| {
            let same: bool = hash.0.ct_eq(&given.0).into();
            if same { found.max(Some(*scope)) } else { found }
        })
    }
}

/// Without a token only this machine may ask; a name that merely resolves to it is a page of the
/// internet in a local browser (DNS rebinding).
fn check_host(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let local = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if local || host.is_empty() {
        return Ok(());
    }
    let detail =
        format!("this server answers as localhost, not as {name}, as long as it has no token");
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

/// Lets pass who may look.
pub(crate) async fn may_read(
    State(app): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    app.access.check(request.headers(), Scope::Read)?;
    Ok(next.run(request).await)
}

/// Lets pass who may change.
pub(crate) async fn may_write(
    State(app): State<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    app.access.check(request.headers(), Scope::Write)?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(lines: &[&str]) -> Access {
        let mut access = Access { tokens: vec![], read_only: false, origins: vec![] };
        lines.iter().for_each(|line| access.add_line(line).unwrap());
        access
    }

    fn status(access: &Access, header: (&'static str, &str), scope: Scope) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(header.0, header.1.parse().unwrap());
        access.check(&headers, scope).err().map_or(200, |problem| problem.status().as_u16())
    }

    #[test]
    fn a_token_opens_its_scope() {
        let access =
            access(&["read 0123456789abcdef", "write 0123456789abcdeX", "just-a-token-alone"]);
        let bearer = |token: &str, scope| {
            status(&access, ("authorization", &format!("Bearer {token}")), scope)
        };
        assert_eq!(bearer("0123456789abcdef", Scope::Read), 200);
        assert_eq!(bearer("0123456789abcdef", Scope::Write), 403);
        assert_eq!(bearer("0123456789abcdeX", Scope::Write), 200);
        assert_eq!(bearer("just-a-token-alone", Scope::Write), 200);
        assert_eq!(bearer("0123456789abcde", Scope::Read), 401);
        assert_eq!(status(&access, ("authorization", "Basic 0123456789abcdef"), Scope::Read), 401);
        assert_eq!(status(&access, ("host", "localhost"), Scope::Read), 401);
        assert!(access.is_writable() && !Access { read_only: true, ..access }.is_writable());
    }

    #[test]
    fn tokens_that_can_be_guessed_are_refused() {
        let mut access = access(&[]);
        assert!(access.add_line("read short").unwrap_err().to_string().contains("16 characters"));
        assert!(access.add_line("owner 0123456789abcdef").is_err());
        assert!(!access.is_needed());
    }

    #[test]
    fn without_a_token_only_this_machine_is_answered() {
        let access = access(&[]);
        for (host, expected) in [
            ("localhost:8080", 200),
            ("127.0.0.1", 200),
            ("[::1]:80", 200),
            ("evil.example:8080", 403),
            ("127.0.0.1.evil.example", 403),
        ] {
            assert_eq!(status(&access, ("host", host), Scope::Write), expected, "{host}");
        }
        let from = |access: &Access, origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "localhost:80".parse().unwrap());
            headers.insert(ORIGIN, origin.parse().unwrap());
            access.check(&headers, Scope::Write).is_ok()
        };
        assert!(from(&access, "http://localhost:80") && !from(&access, "https://evil.example"));
        assert!(!from(&access, "null"));
        let friendly = Access { origins: vec!["https://shop.example".to_owned()], ..access };
        assert!(from(&friendly, "https://shop.example"));
    }
}
