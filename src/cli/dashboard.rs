//! `cnnctl dashboard`.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use clap::Args;

use super::{
    Done, Failure,
    failure::{CONFIG, FAILED},
    output,
};
use crate::report::{
    runs::{self, Runs},
    web::{self, Guard},
};

/// Show the runs under a folder on a web page, live while they train
///
/// A run is what `cnnctl train --metrics FILE` writes. The page only reads; INT or TERM ends it.
#[derive(Args, Debug)]
pub struct DashboardArgs {
    /// Folders with runs, or metrics files
    #[arg(required = true, value_name = "RUNS")]
    runs: Vec<PathBuf>,
    /// The address and port of the page; port 0 takes one that is free. Where other hosts can reach it, a token is needed
    #[arg(long, default_value = "127.0.0.1:8421", value_name = "ADDRESS:PORT")]
    bind: SocketAddr,
    /// Who wants to see the page must show this, once, in its address [default: none on 127.0.0.1, elsewhere a new one]
    #[arg(long, value_name = "TOKEN", value_parser = parse_token)]
    token: Option<String>,
    /// A further name that the page goes by, for example that of a proxy before it
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
}

impl DashboardArgs {
    pub(super) fn run(self) -> Done {
        let failed = |what: String| move |e: std::io::Error| Failure::new(FAILED, format!("{what}: {e}"));
        let title = self.runs.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let runs = Runs::new(self.runs).map_err(|e| Failure::new(CONFIG, format!("cannot read {e}")))?;
        let listener = TcpListener::bind(self.bind);
        let listener = listener.map_err(failed(format!("cannot serve at {}", self.bind)))?;
        let at = listener.local_addr().map_err(failed("the page has no address".into()))?;
        let token = match self.token {
            None if !at.ip().is_loopback() => {
                Some(web::new_token().map_err(failed("cannot make a token".into()))?)
            }
            given => given,
        };
        let query = token.as_ref().map_or_else(String::new, |token| format!("?token={token}"));
        // Others reach the page by this host's name, not by an address that stands for all.
        let name = if at.ip().is_unspecified() { runs::host() } else { String::new() };
        let shown = if name.is_empty() { at.to_string() } else { format!("{name}:{}", at.port()) };
        output::print(&format!("http://{shown}/{query}\n"))?;
        let guard = Guard::new(at, token, self.host);
        web::serve(listener, runs, title, guard, web::until_signal())
            .map_err(failed("the page has ended".into()))?;
        Ok(0)
    }
}

/// A token that fits into an address and a cookie as it is.
fn parse_token(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    if text.len() < 8 || !text.bytes().all(plain) {
        return Err("a token is at least 8 letters, digits or - _ . ~".into());
    }
    Ok(text.to_owned())
}
