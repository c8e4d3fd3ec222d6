use std::{io, sync::Arc};

use aws_lc_rs::digest::{Context, SHA256};
use ekiden_settings::Collector;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::world::{
    Relay, Vendor, collector, hears_the_end, listener, says, soon, spawn, tls_collector,
};
use crate::listener::CloseCause;

const MIB: usize = 1 << 20;

/// Sends random bytes and hears others, both to their end; gives the hashes of what was said and heard.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite,
    seed: u64,
    mib: usize,
) -> (Vec<u8>, Vec<u8>) {
    let (mut reader, mut writer) = split(stream);
    let saying = async {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut hash = Context::new(&SHA256);
        let mut chunk = vec![0; MIB];
        for _ in 0..mib {
            random.fill_bytes(&mut chunk);
            hash.update(&chunk);
            writer.write_all(&chunk).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        hash.finish().as_ref().to_vec()
    };
    let hearing = async {
        let mut hash = Context::new(&SHA256);
        let mut chunk = vec![0; MIB];
        loop {
            match reader.read(&mut chunk).await.unwrap() {
                0 => return hash.finish().as_ref().to_vec(),
                count => hash.update(&chunk[..count]),
            }
        }
    };
    tokio::join!(saying, hearing)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_both_ways_at_once_arrive_unharmed() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("bulk", 6443, &vendor.as_collector("vendor"))]).await;
    let workload = spawn(exchange(relay.connect(6443).await, 1, 64));
    let collector = spawn(exchange(vendor.accept().await, 2, 64));
    let (workload, collector) =
        soon(async { (workload.await.unwrap(), collector.await.unwrap()) }).await;
    assert_eq!(workload.0, collector.1, "up");
    assert_eq!(collector.0, workload.1, "down");
    let counters = relay.counters("bulk");
    super::world::until(|| counters.open() == 0).await;
    let health = relay.plane.health();
    assert_eq!(health.listeners[0].bytes_received, 64 << 20);
    assert_eq!(health.listeners[0].bytes_sent, 64 << 20);
    assert_eq!(health.listeners[0].workloads_seen, 1);
}

#[tokio::test]
async fn small_words_between_bulk_arrive_in_order() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("mixed", 6443, &vendor.as_collector("vendor"))]).await;
    let mut workload = relay.connect(6443).await;
    let mut collector = vendor.accept().await;
    let mut random = SmallRng::seed_from_u64(3);
    for length in
        [1, 200, 5 * MIB, 7, 1, 9000, 1, 3 * MIB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2 * MIB, 100]
    {
        let mut words = vec![0; length];
        random.fill_bytes(&mut words);
        let mut heard = vec![0; length];
        let (said, _) = soon(async {
            tokio::join!(workload.write_all(&words), collector.read_exact(&mut heard))
        })
        .await;
        said.unwrap();
        assert!(heard == words, "{length} bytes up");
        let (said, _) = soon(async {
            tokio::join!(collector.write_all(&words), workload.read_exact(&mut heard))
        })
        .await;
        said.unwrap();
        assert!(heard == words, "{length} bytes down");
    }
}

#[tokio::test]
async fn the_workloads_last_word_is_passed_on_and_the_answer_still_comes() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("tcp", 6443, &vendor.as_collector("vendor"))]).await;
    let mut workload = relay.connect(6443).await;
    let mut collector = vendor.accept().await;
    says(&mut workload, b"question", &mut collector).await;
    workload.shutdown().await.unwrap();
    hears_the_end(&mut collector).await;
    says(&mut collector, b"answer", &mut workload).await;
    drop(collector);
    hears_the_end(&mut workload).await;
    relay.ended("tcp", CloseCause::WorkloadClosed).await;
}

#[tokio::test]
async fn the_collectors_last_word_is_passed_on_and_the_workload_may_go_on() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("tcp", 6443, &vendor.as_collector("vendor"))]).await;
    let mut workload = relay.connect(6443).await;
    let mut collector = vendor.accept().await;
    collector.shutdown().await.unwrap();
    hears_the_end(&mut workload).await;
    says(&mut workload, b"still here", &mut collector).await;
    drop(workload);
    hears_the_end(&mut collector).await;
    relay.ended("tcp", CloseCause::CollectorClosed).await;
}

#[tokio::test]
async fn a_collector_that_closes_and_does_not_listen_either_has_closed_not_reset() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("tcp", 6443, &vendor.as_collector("vendor"))]).await;
    let mut workload = relay.connect(6443).await;
    drop(vendor.accept().await);
    hears_the_end(&mut workload).await;
    let counters = relay.counters("tcp");
    // What is said now meets a closed door; sooner or later the relay hears of it.
    soon(async {
        while counters.open() > 0 {
            if workload.write_all(b"anyone there?").await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    relay.ended("tcp", CloseCause::CollectorClosed).await;
}

#[tokio::test]
async fn a_reset_is_passed_on_to_either_side() {
    let mut vendor = Vendor::start().await;
    let relay = Relay::running(&[listener("tcp", 6443, &vendor.as_collector("vendor"))]).await;
    let reset = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let mut workload = relay.connect(6443).await;
    let mut collector = vendor.accept().await;
    says(&mut workload, b"word", &mut collector).await;
    workload.set_zero_linger().unwrap();
    drop(workload);
    reset(soon(collector.read(&mut [0; 16])).await.unwrap_err());
    relay.ended("tcp", CloseCause::WorkloadReset).await;

    let mut workload = relay.connect(6443).await;
    let mut collector = vendor.accept().await;
    says(&mut collector, b"word", &mut workload).await;
    collector.set_zero_linger().unwrap();
    drop(collector);
    reset(soon(workload.read(&mut [0; 16])).await.unwrap_err());
    relay.ended("tcp", CloseCause::CollectorReset).await;
}

#[tokio::test]
async fn a_collector_that_cannot_be_reached_ends_the_connection_with_that_cause() {
    let nobody = Vendor::start().await.address;
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_ne!(nobody, refusing);
    let relay =
        Relay::running(&[listener("tcp", 6443, &Arc::new(collector("gone", refusing)))]).await;
    let mut workload = relay.connect(6443).await;
    hears_the_end(&mut workload).await;
    relay.ended("tcp", CloseCause::DialRefused).await;
    let health = relay.plane.health();
    assert_eq!(health.collectors[0].failure, "dial");
    assert!(
        health.collectors[0].message.contains(&refusing.to_string()),
        "{}",
        health.collectors[0].message
    );
    assert_eq!(health.listeners[0].closed[0].cause, "dial_refused");
}

#[tokio::test]
async fn a_name_that_leads_back_to_the_relay_is_refused() {
    let relay = Relay::start();
    let own = Arc::new(collector("mirror", (relay.ip, 6443).into()));
    relay.apply(&[listener("tcp", 6443, &own)]).await.unwrap();
    let mut workload = relay.connect(6443).await;
    hears_the_end(&mut workload).await;
    relay.ended("tcp", CloseCause::LoopDetected).await;
    assert_eq!(relay.counters("tcp").open(), 0);
}

/// A certificate for `vendor.example` from a CA of its own, and that CA.
pub(super) fn certificate() -> (TlsAcceptor, rustls::RootCertStore) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let leaf = rcgen::CertificateParams::new(vec!["vendor.example".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}

async fn tls_relay(change: impl FnOnce(&mut Collector)) -> (Relay, Vendor, TlsAcceptor) {
    let vendor = Vendor::start().await;
    let (acceptor, roots) = certificate();
    let mut collector = tls_collector("vendor", vendor.address, roots);
    change(&mut collector);
    let relay = Relay::running(&[listener("tls", 6443, &Arc::new(collector))]).await;
    (relay, vendor, acceptor)
}

async fn accepted(
    vendor: &mut Vendor,
    acceptor: &TlsAcceptor,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    soon(acceptor.accept(vendor.accept().await)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_over_tls_arrive_unharmed_with_both_last_words() {
    let (relay, mut vendor, acceptor) = tls_relay(|_| {}).await;
    let workload = spawn(exchange(relay.connect(6443).await, 1, 16));
    let collector = spawn(exchange(accepted(&mut vendor, &acceptor).await.unwrap(), 2, 16));
    let (workload, collector) =
        soon(async { (workload.await.unwrap(), collector.await.unwrap()) }).await;
    assert_eq!(workload.0, collector.1, "up");
    assert_eq!(collector.0, workload.1, "down");
    let timings = relay.plane.health().collectors[0].last_connect.unwrap();
    assert!(timings.tls.is_some());
}

#[tokio::test]
async fn a_word_over_tls_does_not_wait_for_the_next() {
    let (relay, mut vendor, acceptor) = tls_relay(|_| {}).await;
    let mut workload = relay.connect(6443).await;
    let mut collector = accepted(&mut vendor, &acceptor).await.unwrap();
    for word in 0..100u8 {
        let mut heard = [0];
        workload.write_all(&[word]).await.unwrap();
        soon(collector.read_exact(&mut heard)).await.unwrap();
        assert_eq!(heard, [word]);
        collector.write_all(&[word]).await.unwrap();
        soon(workload.read_exact(&mut heard)).await.unwrap();
        assert_eq!(heard, [word]);
    }
}

#[tokio::test]
async fn a_collector_that_ends_tcp_without_tls_is_told_apart() {
    let (relay, mut vendor, acceptor) = tls_relay(|_| {}).await;
    let mut workload = relay.connect(6443).await;
    let collector = accepted(&mut vendor, &acceptor).await.unwrap();
    drop(collector.into_inner().0);
    hears_the_end(&mut workload).await;
    drop(workload);
    relay.ended("tls", CloseCause::CollectorTruncated).await;
}

#[tokio::test]
async fn a_certificate_of_another_ca_or_name_ends_the_connection_before_a_byte_is_sent() {
    let another_ca = |collector: &mut Collector| {
        collector.tls.as_mut().unwrap().roots = Some(Arc::new(certificate().1));
    };
    let another_name = |collector: &mut Collector| {
        collector.tls.as_mut().unwrap().server_name = Some("other.example".try_into().unwrap());
    };
    for change in [&another_ca as &dyn Fn(&mut Collector), &another_name] {
        let (relay, mut vendor, acceptor) = tls_relay(change).await;
        let mut workload = relay.connect(6443).await;
        workload.write_all(b"secret").await.unwrap();
        assert!(accepted(&mut vendor, &acceptor).await.is_err());
        relay.ended("tls", CloseCause::Tls).await;
        let health = relay.plane.health();
        assert_eq!(health.collectors[0].failure, "tls");
        assert!(
            health.collectors[0].message.contains("certificate"),
            "{}",
            health.collectors[0].message
        );
    }
}

#[tokio::test]
async fn any_certificate_will_do_where_the_settings_say_so() {
    let (relay, mut vendor, acceptor) = tls_relay(|collector| {
        let tls = collector.tls.as_mut().unwrap();
        (tls.server_name, tls.roots, tls.insecure_skip_verify) = (None, None, true);
    })
    .await;
    let mut workload = relay.connect(6443).await;
    let mut collector = accepted(&mut vendor, &acceptor).await.unwrap();
    workload.write_all(b"word").await.unwrap();
    soon(collector.read_exact(&mut [0; 4])).await.unwrap();
}

#[tokio::test]
async fn later_handshakes_resume_the_session() {
    let (relay, mut vendor, acceptor) = tls_relay(|_| {}).await;
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut workload = relay.connect(6443).await;
        let mut collector = accepted(&mut vendor, &acceptor).await.unwrap();
        collector.write_all(b"x").await.unwrap();
        soon(workload.read_exact(&mut [0])).await.unwrap();
        kinds.push(collector.get_ref().1.handshake_kind().unwrap());
    }
    assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
}
