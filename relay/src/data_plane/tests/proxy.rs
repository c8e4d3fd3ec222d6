//! The way to a collector through an HTTP proxy.

use std::sync::Arc;

use ekiden_settings::{Collector, Host, Proxy, Tls};
use secrecy::SecretString;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::{
    passing::certificate,
    world::{Relay, Vendor, hears_the_end, listener, soon, spawn, tls_collector},
};
use crate::listener::CloseCause;

const SECRET: &str = "Basic bXNwOnNlY3JldA==";

/// Answers every request with `answer`; after a 200 it leads to `vendor`. Tells what it was asked.
async fn proxy(
    vendor: &Vendor,
    answer: &'static str,
    tls: Option<TlsAcceptor>,
) -> (Proxy, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, heard) = mpsc::channel(10);
    let vendor = vendor.address;
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = asked.clone();
            let tls = tls.clone();
            spawn(async move {
                match tls {
                    None => serve(stream, vendor, answer, asked).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => serve(stream, vendor, answer, asked).await,
                        Err(error) => asked.send(error.to_string()).await.unwrap(),
                    },
                }
            });
        }
    });
    let authorization = Some(SecretString::from(SECRET));
    let proxy =
        Proxy { host: Host::Address(address.ip()), port: address.port(), tls: None, authorization };
    (proxy, heard)
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    vendor: std::net::SocketAddr,
    answer: &'static str,
    asked: mpsc::Sender<String>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // A probe of the port alone.
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    asked.send(String::from_utf8(head).unwrap()).await.unwrap();
    stream.write_all(answer.as_bytes()).await.unwrap();
    if answer.starts_with("HTTP/1.1 200") {
        let mut there = TcpStream::connect(vendor).await.unwrap();
        copy_bidirectional(&mut stream, &mut there).await.ok();
    }
}

async fn relay_through(proxy: Proxy, vendor: &Vendor) -> (Relay, TlsAcceptor) {
    let (acceptor, roots) = certificate();
    let collector =
        Collector { proxy: Some(proxy), ..tls_collector("vendor", vendor.address, roots) };
    (Relay::running(&[listener("agents", 6667, &Arc::new(collector))]).await, acceptor)
}

#[tokio::test]
async fn bytes_reach_the_collector_over_tls_through_the_tunnel() {
    let (proxy_acceptor, proxy_roots) = certificate();
    for over_tls in [false, true] {
        let mut vendor = Vendor::start().await;
        let acceptor = over_tls.then(|| proxy_acceptor.clone());
        let (mut proxy, mut asked) =
            proxy(&vendor, "HTTP/1.1 200 Connection established\r\n\r\n", acceptor).await;
        proxy.tls = over_tls.then(|| Tls {
            server_name: Some("vendor.example".try_into().unwrap()),
            roots: Some(Arc::new(proxy_roots.clone())),
            insecure_skip_verify: false,
        });
        let (relay, acceptor) = relay_through(proxy, &vendor).await;
        let mut workload = relay.connect(6667).await;
        let mut collector = soon(acceptor.accept(vendor.accept().await)).await.unwrap();
        for word in [&b"word"[..], b"and another"] {
            workload.write_all(word).await.unwrap();
            let mut heard = vec![0; word.len()];
            soon(collector.read_exact(&mut heard)).await.unwrap();
            assert_eq!(heard, word);
            collector.write_all(word).await.unwrap();
            soon(workload.read_exact(&mut heard)).await.unwrap();
            assert_eq!(heard, word);
        }
        let request = soon(asked.recv()).await.unwrap();
        let target = vendor.address;
        assert_eq!(
            request,
            format!(
                "CONNECT {target} HTTP/1.1\r\nhost: {target}\r\nproxy-authorization: {SECRET}\r\n\r\n"
            )
        );
        collector.shutdown().await.unwrap();
        hears_the_end(&mut workload).await;
        let health = relay.plane.health();
        assert_eq!(health.collectors[0].endpoint, target.to_string());
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_ends_the_connection_and_nothing_goes_another_way() {
    for (answer, says) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "credentials (407)"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "502"),
        ("what is it?\r\n\r\n", "no HTTP"),
    ] {
        let vendor = Vendor::start().await;
        let (proxy, mut asked) = proxy(&vendor, answer, None).await;
        let (relay, _) = relay_through(proxy, &vendor).await;
        let mut workload = relay.connect(6667).await;
        hears_the_end(&mut workload).await;
        relay.ended("agents", CloseCause::ProxyRefused).await;
        soon(asked.recv()).await.unwrap();
        assert_eq!(vendor.waiting(), 0, "the collector was dialled");
        let health = relay.plane.health();
        assert_eq!(health.collectors[0].failure, "dial");
        let message = &health.collectors[0].message;
        assert!(message.contains(says) && !message.contains(SECRET), "{message}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_who_it_should_be_gets_no_credentials() {
    let vendor = Vendor::start().await;
    let (acceptor, _) = certificate();
    let (mut proxy, mut asked) = proxy(&vendor, "", Some(acceptor)).await;
    proxy.tls = Some(Tls {
        server_name: Some("vendor.example".try_into().unwrap()),
        roots: Some(Arc::new(certificate().1)),
        insecure_skip_verify: false,
    });
    let (relay, _) = relay_through(proxy, &vendor).await;
    hears_the_end(&mut relay.connect(6667).await).await;
    relay.ended("agents", CloseCause::Tls).await;
    let heard = soon(asked.recv()).await.unwrap();
    assert!(!heard.contains("CONNECT"), "{heard}");
}

#[tokio::test]
async fn a_proxy_that_is_gone_is_named_and_the_collector_is_not_dialled_itself() {
    let vendor = Vendor::start().await;
    let (mut proxy, _) = proxy(&vendor, "", None).await;
    proxy.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = proxy.port;
    let (relay, _) = relay_through(proxy, &vendor).await;
    hears_the_end(&mut relay.connect(6667).await).await;
    relay.ended("agents", CloseCause::DialRefused).await;
    assert_eq!(vendor.waiting(), 0);
    let message = &relay.plane.health().collectors[0].message;
    assert!(message.contains(&gone.to_string()), "{message}");
}
