//! Network namespaces on one bridge: one for the world, one for each relay, each with an address of its own.
use std::{net::Ipv4Addr, process::Command};

use anyhow::{Context as _, ensure};

/// The bridge's /24; nothing outside of the namespaces knows it.
pub const NETWORK: [u8; 3] = [10, 77, 1];
/// Relays' addresses begin here.
const FIRST: u8 = 10;

/// Namespaces of one run; dropping it removes them.
#[derive(Debug)]
pub struct Namespaces {
    prefix: String,
    count: u8,
}

impl Namespaces {
    /// Makes a world with a bridge, and `count` places for relays. Removes what dead runs left behind.
    pub fn make(count: u8) -> anyhow::Result<Self> {
        remove_leftovers()?;
        let made = Self { prefix: prefix(std::process::id()), count };
        let (world, [a, b, c]) = (made.world(), NETWORK);
        ip(&["netns", "add", &world])?;
        inside(&world, &["link", "set", "lo", "up"])?;
        inside(&world, &["link", "add", "br0", "type", "bridge"])?;
        for host in 1..=3 {
            inside(&world, &["addr", "add", &format!("{a}.{b}.{c}.{host}/24"), "dev", "br0"])?;
        }
        inside(&world, &["link", "set", "br0", "up"])?;
        for at in 0..count {
            let (name, cable) = (made.place(at).0, format!("v{at}"));
            ip(&["netns", "add", &name])?;
            let add =
                ["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name];
            inside(&world, &add)?;
            inside(&world, &["link", "set", &cable, "master", "br0", "up"])?;
            let address = format!("{}/24", made.place(at).1);
            inside(&name, &["addr", "add", &address, "dev", "eth0"])?;
            inside(&name, &["link", "set", "eth0", "up"])?;
            inside(&name, &["link", "set", "lo", "up"])?;
        }
        Ok(made)
    }

    /// Those that the process `owner` made.
    pub fn of(owner: u32, count: u8) -> Self {
        Self { prefix: prefix(owner), count }
    }

    /// Name of the world's.
    pub fn world(&self) -> String {
        format!("{}world", self.prefix)
    }

    /// Name of a relay's, and its address.
    pub fn place(&self, at: u8) -> (String, Ipv4Addr) {
        let [a, b, c] = NETWORK;
        (format!("{}r{at}", self.prefix), Ipv4Addr::new(a, b, c, FIRST + at))
    }

    /// How many relays have a place.
    pub fn count(&self) -> u8 {
        self.count
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // Those of another process are its own to remove.
        if self.prefix == prefix(std::process::id())
            && let Err(error) = remove(|owner| owner == std::process::id())
        {
            tracing::warn!(%error, "removing network namespaces");
        }
    }
}

/// Cuts a place's cable: nothing gets in or out, and nobody is told.
pub fn cut_cable(namespace: &str) -> anyhow::Result<()> {
    inside(namespace, &["link", "set", "eth0", "down"])
}

/// Drops what a place sends to these ports, and to these addresses.
pub fn cut_off(namespace: &str, ports: &[u16], addresses: &[Ipv4Addr]) -> anyhow::Result<()> {
    nft(namespace, &["add", "table", "ip", "cut"])?;
    let chain = "{ type filter hook output priority 0 ; }";
    nft(namespace, &["add", "chain", "ip", "cut", "out", chain])?;
    for port in ports {
        let port = port.to_string();
        nft(namespace, &["add", "rule", "ip", "cut", "out", "tcp", "dport", &port, "drop"])?;
    }
    for address in addresses {
        let address = address.to_string();
        nft(namespace, &["add", "rule", "ip", "cut", "out", "ip", "daddr", &address, "drop"])?;
    }
    Ok(())
}

/// Undoes [`cut_off`].
pub fn heal(namespace: &str) -> anyhow::Result<()> {
    nft(namespace, &["delete", "table", "ip", "cut"])
}

fn prefix(owner: u32) -> String {
    format!("ek{owner}-")
}

fn nft(namespace: &str, arguments: &[&str]) -> anyhow::Result<()> {
    ip(&[&["netns", "exec", namespace, "nft"], arguments].concat())
}

fn inside(namespace: &str, arguments: &[&str]) -> anyhow::Result<()> {
    ip(&[&["-n", namespace], arguments].concat())
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let done = Command::new("ip").args(arguments).output().context("starting `ip`")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

/// Removes namespaces of runs whose process is gone.
fn remove_leftovers() -> anyhow::Result<()> {
    remove(|owner| !std::path::Path::new(&format!("/proc/{owner}")).exists())
}

fn remove(unwanted: impl Fn(u32) -> bool) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("ek").and_then(|rest| rest.split_once('-')?.0.parse().ok());
        if owner.is_some_and(&unwanted) {
            ip(&["netns", "delete", &name])?;
        }
    }
    Ok(())
}
