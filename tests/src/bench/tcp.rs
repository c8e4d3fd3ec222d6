//! Load for TCP proxies. Every figure is the proxy's CPU or memory per unit of work, which noise moves less than seconds.
mod backend;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

pub use self::backend::{Backend, NAME, without_resumption};
use super::measured::{cpu_seconds, resident_bytes};

const MESSAGE: usize = 200;

/// What one bulk run cost.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    /// Proxy's CPU seconds per 10⁹ bytes.
    pub cpu_per_gb: f64,
    /// 10⁹ bytes a second, for orientation: the machine's noise is in it.
    pub gb_per_second: f64,
}

/// Sends `bytes` over `connections` at once to a sink behind the proxy.
///
/// # Errors
/// When a connection fails before all arrived.
pub async fn bulk(pid: u32, proxy: SocketAddr, connections: usize, bytes: u64) -> Result<Bulk> {
    let share = bytes / connections as u64;
    let (cpu, start) = (cpu_seconds(pid)?, Instant::now());
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(proxy).await?;
            stream.write_u64(share).await?;
            let block = vec![0x5a_u8; 256 * 1024];
            let mut left = share;
            while left > 0 {
                let n = usize::try_from(left.min(block.len() as u64)).unwrap_or(block.len());
                stream.write_all(block.get(..n).unwrap_or_default()).await?;
                left -= n as u64;
            }
            ensure!(stream.read_u8().await? == b'!', "the sink did not see all");
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let gb = bytes as f64 / 1e9;
    Ok(Bulk {
        cpu_per_gb: (cpu_seconds(pid)? - cpu) / gb,
        gb_per_second: gb / start.elapsed().as_secs_f64(),
    })
}

/// Proxy's CPU in µs per message of 200 bytes there and back, `connections` at once, `messages` in all.
///
/// # Errors
/// When a connection fails.
pub async fn messages(
    pid: u32,
    proxy: SocketAddr,
    connections: usize,
    messages: usize,
) -> Result<f64> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let cpu = cpu_seconds(pid)?;
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        let share = messages / connections;
        tasks.spawn(async move {
            let mut message = [7_u8; MESSAGE];
            for _ in 0..share {
                stream.write_all(&message).await?;
                stream.read_exact(&mut message).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok((cpu_seconds(pid)? - cpu) * 1e6 / messages as f64)
}

/// Proxy's CPU in µs per connection that carries one message there and back, 16 at a time, `connections` in all.
///
/// # Errors
/// When a connection fails.
pub async fn short_connections(pid: u32, proxy: SocketAddr, connections: usize) -> Result<f64> {
    let cpu = cpu_seconds(pid)?;
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        tasks.spawn(async move {
            let mut message = [7_u8; MESSAGE];
            for _ in 0..connections / 16 {
                let mut stream = TcpStream::connect(proxy).await?;
                stream.write_all(&message).await?;
                stream.read_exact(&mut message).await?;
                // Ends with a reset: thousands of ports in TIME-WAIT would end the run before its time.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok((cpu_seconds(pid)? - cpu) * 1e6 / connections as f64)
}

/// Proxy's memory in bytes per connection that has carried one message and now idles, `connections` at once.
///
/// # Errors
/// When a connection fails.
pub async fn idle_memory(pid: u32, proxy: SocketAddr, connections: usize) -> Result<f64> {
    let before = resident_bytes(pid)?;
    let mut held = Vec::with_capacity(connections);
    let mut message = [7_u8; MESSAGE];
    for _ in 0..connections {
        let mut stream = TcpStream::connect(proxy).await.context("opening idle connections")?;
        stream.write_all(&message).await?;
        stream.read_exact(&mut message).await?;
        held.push(stream);
    }
    // Proxies that give memory back do so within moments.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident_bytes(pid)?;
    drop(held);
    Ok(after.saturating_sub(before) as f64 / connections as f64)
}
