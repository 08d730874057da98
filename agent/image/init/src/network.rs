//! The machine's one address, as the measured configuration says. IPv6 may also come by router advertisement, which
//! the kernel does by itself.

use crate::error::{Failure, at};
use crate::supervise::run;
use assay_protocol::config::MachineSection;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const IP: &str = "/usr/sbin/ip";
const CARDS: &str = "/sys/class/net";
const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Sets address and gateway on the card with the configured hardware address, or else on the first one.
pub fn configure(machine: &MachineSection) -> Result<(), Failure> {
    let (address, _) = split_address(&machine.address)?;
    let gateway = machine
        .gateway
        .as_deref()
        .map(|text| gateway_of(text, address))
        .transpose()?;
    let card = wait_for_card(machine.mac.as_deref())?;
    let ip = |words: &[&str]| run(IP, words.iter().map(|word| (*word).to_owned()));
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "set", &card, "up"])?;
    ip(&["address", "add", &machine.address, "dev", &card])?;
    match gateway {
        Some(gateway) => ip(&[
            "route",
            "add",
            "default",
            "via",
            &gateway.to_string(),
            "dev",
            &card,
        ]),
        None => Ok(()),
    }
}

/// `ADDRESS/PREFIX`.
fn split_address(text: &str) -> Result<(IpAddr, u8), Failure> {
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then_some((address, prefix))
    });
    parsed.ok_or_else(|| Failure::Machine {
        field: "address",
        why: format!("expected ADDRESS/PREFIX, got {text:?}"),
    })
}

fn gateway_of(text: &str, address: IpAddr) -> Result<IpAddr, Failure> {
    let parsed = text.parse::<IpAddr>().ok();
    let same = parsed.filter(|gateway| gateway.is_ipv4() == address.is_ipv4());
    same.ok_or_else(|| Failure::Machine {
        field: "gateway",
        why: format!("expected an address of the same family as {address}, got {text:?}"),
    })
}

fn wait_for_card(mac: Option<&str>) -> Result<String, Failure> {
    let deadline = Instant::now() + WAIT;
    loop {
        if let Some(card) = card(Path::new(CARDS), mac)? {
            return Ok(card);
        }
        if Instant::now() > deadline {
            return Err(Failure::Machine {
                field: "mac",
                why: format!(
                    "expected a network card {}, found none",
                    mac.unwrap_or("of any address")
                ),
            });
        }
        std::thread::sleep(POLL);
    }
}

/// The first card by name that is hardware and has the address asked for.
fn card(cards: &Path, mac: Option<&str>) -> Result<Option<String>, Failure> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(cards).map_err(at(cards))? {
        let path = entry.map_err(at(cards))?.path();
        let address = std::fs::read_to_string(path.join("address")).unwrap_or_default();
        let wanted = mac.is_none_or(|mac| mac.eq_ignore_ascii_case(address.trim()));
        if wanted && path.join("device").exists() {
            found.extend(
                path.file_name()
                    .and_then(|name| name.to_str())
                    .map(str::to_owned),
            );
        }
    }
    Ok(found.into_iter().min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_that_fits() {
        assert_eq!(split_address("192.0.2.1/24").unwrap().1, 24);
        assert_eq!(split_address("2001:db8::1/64").unwrap().1, 64);
        for bad in [
            "192.0.2.1",
            "192.0.2.1/33",
            "2001:db8::1/129",
            "host/24",
            "",
        ] {
            let error = split_address(bad).unwrap_err().to_string();
            assert!(
                error.starts_with("machine.address: expected ADDRESS/PREFIX"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_gateway_is_of_the_address_s_family() {
        let address = "192.0.2.1".parse().unwrap();
        assert!(gateway_of("192.0.2.254", address).is_ok());
        assert!(gateway_of("2001:db8::2", address).is_err());
        assert!(gateway_of("router", address).is_err());
    }

    #[test]
    fn the_first_card_that_is_hardware_is_taken_or_the_one_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        for (name, address, hardware) in [
            ("lo", "00", false),
            ("eth1", "aa:01", true),
            ("eth0", "aa:00", true),
        ] {
            let card = dir.path().join(name);
            std::fs::create_dir(&card).unwrap();
            std::fs::write(card.join("address"), format!("{address}\n")).unwrap();
            if hardware {
                std::fs::create_dir(card.join("device")).unwrap();
            }
        }
        let found = |mac| card(dir.path(), mac).unwrap();
        assert_eq!(found(None).as_deref(), Some("eth0"));
        assert_eq!(found(Some("AA:01")).as_deref(), Some("eth1"));
        assert_eq!(found(Some("00")), None);
    }
}
