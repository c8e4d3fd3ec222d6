//! What no one should send, on every port.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use ekiden_proto::{
    admin::v1::{CreateTenantRequest, Tenant},
    relay::v1::{EnrollRequest, Hello, SessionRequest, session_request::Message as Up},
};
use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, TCP_PORT},
        relay::http_get,
        world::CONTROL_PLANE_NAME,
    },
    workloads::{otlp::Exporter, tcp::Held},
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::Code;

use super::{
    bystander::Bystander,
    impostor::{enroll, enrollment, sessions, tls},
    refused::{counted, fields, refused},
    ways::running,
};

#[tokio::test]
async fn a_ten_mebibyte_message_is_refused_on_every_port_with_the_limit_and_counted()
-> anyhow::Result<()> {
    let mut run = running(1).await?;
    let mut bystander = Bystander::start(&run).await?;
    let big = "x".repeat(10 << 20);

    let tenant = Tenant { display_name: big.clone(), ..Tenant::default() };
    let request = CreateTenantRequest {
        tenant_id: "big".to_owned(),
        tenant: Some(tenant),
        ..Default::default()
    };
    let status = refused(run.operator.tenants().create_tenant(request).await)?;
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert!(status.message().contains("4194304"), "{status:?}");
    let method = "ekiden.admin.v1.TenantService/CreateTenant";
    counted(&run.world, method, "OUT_OF_RANGE", 1.0).await?;

    let request = EnrollRequest { csr: big.clone().into_bytes(), ..EnrollRequest::default() };
    let status = refused(enrollment(&run.control_plane)?.enroll(request).await)?;
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert!(status.message().contains("65536"), "{status:?}");
    let method = "ekiden.relay.v1.EnrollmentService/Enroll";
    counted(&run.world, method, "OUT_OF_RANGE", 1.0).await?;

    // In a session, as its first message and as a later one.
    let token = run.operator.create_enrollment_token(&run.customer.fleet, 1).await?;
    let (_, (chain, key)) = enroll(&run.control_plane, &token, None).await??;
    let message = |hello: Hello| SessionRequest { message: Some(Up::Hello(hello)) };
    let large = message(Hello { running_hash: big.clone().into(), ..Hello::default() });
    for said in [vec![large.clone()], vec![message(Hello::default()), large]] {
        let identity = (chain.clone(), key.clone_key());
        let mut client = sessions(&run.control_plane, Some(identity))?;
        let mut answers = client.session(tokio_stream::iter(said)).await?.into_inner();
        let status = loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => anyhow::bail!("the session ended without an error"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(fields(&status), ["message"], "{status:?}");
    }
    counted(&run.world, "ekiden.relay.v1.SessionService/Session", "INVALID_REQUEST", 1.0).await?;
    let ends = "ekiden.control_plane.session.ends";
    run.world.sink.counter_reaches(ends, &[("cause", "refused")], 1.0).await?;

    let failed = [("listener", "otlp")];
    let before = run.relays[0].figure("listener_requests_failed_total", &failed).await?;
    let exporter = Exporter::new(run.relays[0].listener(OTLP_PORT))?;
    let status = refused(exporter.spans(&[big]).await)?;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("limits.max_request_bytes"), "{status:?}");
    let relay = &mut run.relays[0];
    relay.figure_reaches("listener_requests_failed_total", &failed, before + 1.0).await?;
    bystander.passes().await
}

/// What is thrown at every port: noise, other protocols, beginnings of the right one.
fn samples() -> [Vec<u8>; 6] {
    let mut random = vec![0; 100_000];
    random.fill_with(rand::random::<u8>);
    // No first byte of any protocol here.
    random[0] = 0xff;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0].repeat(20_000);
    [
        random,
        b"GET /such/a/page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not quite a client hello".to_vec(),
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), settings].concat(),
        vec![0; 70_000],
        Vec::new(),
    ]
}

#[tokio::test]
async fn garbage_on_the_control_planes_ports_is_counted_by_cause_and_disturbs_no_one()
-> anyhow::Result<()> {
    let mut run = running(1).await?;
    let mut bystander = Bystander::start(&run).await?;
    let ports =
        [("relays", run.control_plane.relays()), ("operators", run.control_plane.operators())];
    let config = tls(&run.control_plane, None)?;
    for (name, port) in ports {
        for sample in samples() {
            throw(TcpStream::connect(port).await?, &sample).await;
            throw(inside_tls(port, Arc::clone(&config)).await?, &sample).await;
        }
        // Of the six, one is an empty connection and one breaks off within a TLS record.
        for (cause, times) in [("no_tls", 4.0), ("closed", 2.0), ("no_http2", 3.0)] {
            let attributes = [("port", name), ("cause", cause)];
            let failures = "ekiden.control_plane.handshake.failures";
            run.world.sink.counter_reaches(failures, &attributes, times).await?;
        }
        bystander.passes().await?;
    }
    let log = run.control_plane.process().log();
    assert!(log.contains("\"no_tls\"") && log.contains("\"no_http2\""), "the log names no cause");
    run.operator.create_tenant("after").await?;
    bystander.passes().await
}

#[tokio::test]
async fn garbage_on_a_relays_ports_is_passed_on_or_counted_and_disturbs_no_one()
-> anyhow::Result<()> {
    let mut run = running(1).await?;
    let mut bystander = Bystander::start(&run).await?;
    for sample in samples() {
        Held::open(run.relays[0].listener(TCP_PORT)).await?.pass(&sample).await?;
    }
    let of_otlp = [("listener", "otlp"), ("cause", "protocol_error")];
    let closed = "listener_connections_closed_total";
    let before = run.relays[0].figure(closed, &of_otlp).await?;
    let http = run.relays[0].http().await?;
    for port in [run.relays[0].listener(OTLP_PORT), http] {
        for sample in samples() {
            throw(TcpStream::connect(port).await?, &sample).await;
        }
        bystander.passes().await?;
    }
    // Noise, another protocol's request, half a client hello, zeroes.
    run.relays[0].figure_reaches(closed, &of_otlp, before + 4.0).await?;
    // The same, but for the request, which is HTTP; and the beginning of HTTP/2.
    run.relays[0].figure_reaches("local_http_failed_total", &[], 4.0).await?;
    assert_eq!(http_get(http, "/such/a/page").await?.0, 404);
    assert_eq!(http_get(http, "/readyz").await?.0, 200);
    bystander.passes().await
}

/// Sends bytes and reads until the other side ends or has nothing more to say.
async fn throw(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    // It may well hang up in the middle.
    if stream.write_all(bytes).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut answer = Vec::new();
        drop(tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await);
    }
}

async fn inside_tls(
    port: SocketAddr,
    config: Arc<ClientConfig>,
) -> anyhow::Result<impl AsyncRead + AsyncWrite + Unpin> {
    let name = ServerName::try_from(CONTROL_PLANE_NAME)?;
    Ok(TlsConnector::from(config).connect(name, TcpStream::connect(port).await?).await?)
}
