//! Who may see the page.
//!
//! A page on this host only is for whoever can reach it, and still not for pages of others in the same browser: their
//! scripts could reach it under a name of their own that they have pointed here, so names are checked. A page that other
//! hosts can reach wants a token, once in the address and then in a cookie.

use std::{
    fs::File,
    hint::black_box,
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use crate::report::runs;

/// What the page may do: show itself, its own pictures and data, and nothing of anybody else's.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Lets requests through, or not.
#[derive(Clone, Debug)]
pub struct Guard {
    token: Option<String>,
    /// Host names that the page goes by, beside numbers and `localhost`.
    names: Vec<String>,
    /// The cookie's name, which differs from page to page on one host.
    cookie: String,
}

impl Guard {
    /// For a page at this address; with a token, it must be shown.
    pub fn new(at: SocketAddr, token: Option<String>, mut names: Vec<String>) -> Self {
        if !at.ip().is_loopback() {
            names.push(runs::host());
        }
        names.retain(|name| !name.is_empty());
        Self { token, names, cookie: format!("cnnctl_{}", at.port()) }
    }

    /// The token, if one must be shown.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Whether a `Host` header names this page: by number, as `localhost`, or by a name that is known.
    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST).and_then(|h| h.to_str().ok()) else { return false };
        let name = match host.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((name, port)) if port.is_empty() || port.starts_with(':') => name,
                _ => return false,
            },
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let own = |known: &String| {
            let name = name.to_ascii_lowercase();
            let known = known.to_ascii_lowercase();
            // A host's name may come with its domain.
            name.strip_prefix(&known[..]).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok() || self.names.iter().any(own)
    }

    /// Whether the cookie is there, and right.
    fn has_cookie(&self, headers: &HeaderMap, token: &str) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
        let mut values = cookies
            .flat_map(|c| c.split(';'))
            .filter_map(|c| c.trim().split_once('='))
            .filter(|(name, _)| *name == self.cookie);
        values.any(|(_, value)| same(value, token))
    }

    /// The answer to a request that gets no further, if it does not.
    fn stops(&self, request: &Request) -> Option<Response> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Some(plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"));
        }
        if !self.knows_host(request.headers()) {
            let text = "this page does not go by that name; --host NAME lets it";
            return Some(plain(StatusCode::MISDIRECTED_REQUEST, text));
        }
        let token = self.token.as_deref()?;
        if self.has_cookie(request.headers(), token) {
            return None;
        }
        let given = request.uri().query().into_iter().flat_map(|q| q.split('&'));
        let mut given = given.filter_map(|pair| pair.strip_prefix("token="));
        if given.any(|given| same(given, token)) {
            return Some(self.let_in(request.uri().path(), token));
        }
        let text = "this page needs its token: open the address that `cnnctl dashboard` has shown";
        Some(plain(StatusCode::UNAUTHORIZED, text))
    }

    /// Sets the cookie and takes the token out of the address bar.
    fn let_in(&self, path: &str, token: &str) -> Response {
        let mut response = plain(StatusCode::SEE_OTHER, "");
        let cookie = format!("{}={token}; Path=/; HttpOnly; SameSite=Strict", self.cookie);
        // Two slashes would be another host.
        let path = format!("/{}", path.trim_start_matches(['/', '\\']));
        for (name, value) in [(header::SET_COOKIE, cookie), (header::LOCATION, path)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Answers by itself what may go no further, and adds to each answer what browsers are to be careful about.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.stops(&request) {
        Some(response) => response,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let differing = one.iter().zip(other).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
    one.len() == other.len() && differing == 0
}

/// A token that nobody guesses: 128 random bits.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_token() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(at: &str, names: &[&str]) -> Guard {
        Guard::new(at.parse().unwrap(), None, names.iter().map(|&n| n.to_owned()).collect())
    }

    #[test]
    fn only_known_hosts_are_answered() {
        let here = guard("127.0.0.1:80", &["proxy"]);
        let knows = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            here.knows_host(&headers)
        };
        for host in [
            "127.0.0.1",
            "127.0.0.1:9",
            "localhost:9",
            "LOCALHOST",
            "[::1]:9",
            "[::1]",
            "proxy:1",
            "Proxy.x.org",
        ] {
            assert!(knows(host), "{host}");
        }
        for host in [
            "evil.com",
            "localhost.evil.com",
            "127.0.0.1.evil.com:80",
            "proxyx",
            "",
            "[::1]x",
            "[::1",
            "::1]",
        ] {
            assert!(!knows(host), "{host}");
        }
        assert!(!here.knows_host(&HeaderMap::new()));
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("abc", "abcd") && !same("", "a"));
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert!(one.len() == 32 && one != other);
    }
}
