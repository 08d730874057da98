//! Where somebody is reached: a name or an address, and a port.

use core::net::Ipv6Addr;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::limits::ENDPOINT_BYTES_MAX;

/// `HOST:PORT` of at most [`ENDPOINT_BYTES_MAX`] bytes: a DNS name, an IPv4 address or an IPv6 address in brackets, and a port
/// from 1 on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(String);

/// Not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT, with a port from 1 to 65535")]
pub struct NotAnEndpoint;

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Endpoint {
    type Error = NotAnEndpoint;

    fn try_from(text: String) -> Result<Self, NotAnEndpoint> {
        let is_good = text.rsplit_once(':').is_some_and(|(host, port)| {
            let digits = port.chars().all(|c| c.is_ascii_digit());
            is_host(host) && digits && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        match is_good && text.len() <= ENDPOINT_BYTES_MAX {
            true => Ok(Self(text)),
            false => Err(NotAnEndpoint),
        }
    }
}

fn is_host(host: &str) -> bool {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            !host.is_empty() && host.chars().all(is_plain)
        }
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.0
    }
}

impl AsRef<str> for Endpoint {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_one_and_nothing_else_is() {
        for good in [
            "10.0.0.7:7000",
            "board.example.org:1",
            "[::1]:65535",
            "a_b-c:7",
        ] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        let long = format!("{}:7", "a".repeat(ENDPOINT_BYTES_MAX - 1));
        for bad in [
            "",
            ":7",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:+7",
            "::1:7",
            "[::g]:7",
            "a b:7",
            "a\u{1b}[0m:7",
            "http://a:7",
            &long,
        ] {
            assert_eq!(bad.parse::<Endpoint>(), Err(NotAnEndpoint), "{bad}");
        }
    }
}
