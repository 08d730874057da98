//! A node's URL, and what of it may be shown: providers put keys into user information and paths.

use ureq::http::Uri;

use crate::chain::ChainError;

/// A usable URL.
#[derive(Clone)]
pub(super) struct Endpoint {
    url: String,
    shown: String,
    userinfo: Option<String>,
    tail: String,
}

impl Endpoint {
    /// Takes `http` and `https`; credentials only where nobody else reads them.
    pub(super) fn parse(url: &str) -> Result<Self, ChainError> {
        let bad = |shown: &str, why: &str| ChainError::BadNode {
            url: shown.to_owned(),
            why: why.to_owned(),
        };
        let unusable = "expected an http:// or https:// URL";
        // Nothing of what does not parse is shown: it may hold a password.
        let uri: Uri = url.parse().map_err(|_| bad("URL", unusable))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(bad("URL", unusable));
        };
        let userinfo = authority.as_str().rsplit_once('@').map(|(info, _)| info);
        let tail = uri.path_and_query().map_or("/", |tail| tail.as_str());
        let port = authority.port().map_or(String::new(), |p| format!(":{p}"));
        let more = if tail == "/" { "" } else { "/…" };
        let shown = format!("{scheme}://{}{port}{more}", authority.host());
        match scheme {
            "https" => {}
            "http" if userinfo.is_none() || is_loopback(authority.host()) => {}
            "http" => return Err(bad(&shown, "credentials go over https only")),
            _ => return Err(bad(&shown, unusable)),
        }
        Ok(Self {
            url: url.to_owned(),
            userinfo: userinfo.map(str::to_owned),
            tail: tail.to_owned(),
            shown,
        })
    }

    /// For the request, never for people.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// For people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A message of the HTTP library without what must not be shown.
    pub(super) fn without_secrets(&self, message: &str) -> String {
        let mut message = message.replace(&self.url, &self.shown);
        if let Some(userinfo) = &self.userinfo {
            message = message.replace(userinfo, "…");
        }
        if self.tail.len() > 1 {
            message = message.replace(&self.tail, "/…");
        }
        message
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_paths_are_never_shown() {
        let endpoint = Endpoint::parse("https://user:secret@node.example:8545/v3/key?a=b").unwrap();
        assert_eq!(endpoint.shown(), "https://node.example:8545/…");
        let told = endpoint.without_secrets(
            "cannot reach https://user:secret@node.example:8545/v3/key?a=b: user:secret, /v3/key?a=b",
        );
        assert!(!told.contains("secret") && !told.contains("key"), "{told}");
        assert_eq!(
            Endpoint::parse("http://127.0.0.1:8545").unwrap().shown(),
            "http://127.0.0.1:8545"
        );
    }

    #[test]
    fn what_is_no_url_of_a_node_is_refused_without_repeating_it() {
        for url in [
            "",
            "node.example",
            "ws://user:secret@node.example",
            "http://user:secret@node.example",
            "https://user:secret@",
            "https://user:secret@bad host",
        ] {
            let error = Endpoint::parse(url).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{url}: {error}");
        }
        for local in [
            "http://u:p@127.0.0.1:1",
            "http://u:p@[::1]:1",
            "http://u:p@localhost",
        ] {
            assert!(Endpoint::parse(local).is_ok(), "{local}");
        }
    }
}
