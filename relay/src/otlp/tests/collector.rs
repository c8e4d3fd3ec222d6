//! A collector on loopback: OpenTelemetry's own services on tonic's server, which checks the key and does as told.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_util::{Stream, StreamExt};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use rcgen::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding::{Gzip, Zstd},
    metadata::MetadataMap,
    transport::{Server, server::Connected},
};

/// What a collector does with requests.
#[derive(Clone, Debug)]
pub(super) enum Behaviour {
    Accept,
    /// Accepts, and says so at length.
    Partially(String),
    Refuse(Status),
    /// Leaves requests without an answer until it is told something else.
    Stall,
}

/// One request as the collector saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) metadata: MetadataMap,
    pub(super) items: usize,
}

pub(super) struct Collector {
    pub(super) address: SocketAddr,
    core: Core,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Core {
    behaviour: watch::Sender<Behaviour>,
    seen: watch::Sender<Vec<Seen>>,
    /// Header and value without which requests are refused.
    key: Arc<Mutex<Option<(String, String)>>>,
}

impl Collector {
    /// Starts one that reads gzip and zstd.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(address, TcpListenerStream::new(listener), true)
    }

    /// Starts one that reads gzip only.
    pub(super) async fn start_without_zstd() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(address, TcpListenerStream::new(listener), false)
    }

    /// Starts one that speaks TLS, and HTTP/2 only where ALPN says so; gives the root to trust as well.
    pub(super) async fn start_tls() -> (Self, RootCertStore) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let streams = TcpListenerStream::new(listener).then(move |tcp| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(tcp?).await?;
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                Ok(stream)
            }
        });
        (Self::serve(address, streams, true), roots)
    }

    fn serve<S>(
        address: SocketAddr,
        streams: impl Stream<Item = io::Result<S>> + Send + 'static,
        zstd: bool,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let core = Core {
            behaviour: watch::Sender::new(Behaviour::Accept),
            seen: watch::Sender::default(),
            key: Arc::default(),
        };
        let stop = CancellationToken::new();
        macro_rules! serving {
            ($server:ident) => {{
                let server =
                    $server::new(core.clone()).accept_compressed(Gzip).send_compressed(Gzip);
                let server = server.max_decoding_message_size(32 << 20);
                if zstd { server.accept_compressed(Zstd).send_compressed(Zstd) } else { server }
            }};
        }
        let serving = Server::builder()
            .add_service(serving!(TraceServiceServer))
            .add_service(serving!(MetricsServiceServer))
            .add_service(serving!(LogsServiceServer))
            .serve_with_incoming(streams);
        super::spawn(stop.clone().run_until_cancelled_owned(serving));
        Self { address, core, _stop: stop.drop_guard() }
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        self.core.behaviour.send_replace(behaviour);
    }

    pub(super) fn demand(&self, header: &str, value: &str) {
        *self.core.key.lock().unwrap() = Some((header.to_owned(), value.to_owned()));
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.core.seen.borrow().clone()
    }

    /// Waits until it has seen that many requests.
    pub(super) async fn saw(&self, requests: usize) {
        let mut seen = self.core.seen.subscribe();
        super::soon(seen.wait_for(|seen| seen.len() >= requests)).await.unwrap();
    }
}

impl Core {
    async fn answer<M>(
        &self,
        request: Request<M>,
        items: impl Fn(&M) -> usize,
    ) -> Result<String, Status> {
        let (metadata, _, message) = request.into_parts();
        let refused = self.key.lock().unwrap().as_ref().is_some_and(|(header, value)| {
            metadata.get(header.as_str()).map(|sent| sent.as_bytes()) != Some(value.as_bytes())
        });
        let items = items(&message);
        self.seen.send_modify(|seen| seen.push(Seen { metadata, items }));
        if refused {
            return Err(Status::unauthenticated("no such key"));
        }
        let mut behaviour = self.behaviour.subscribe();
        let behaviour =
            behaviour.wait_for(|behaviour| !matches!(behaviour, Behaviour::Stall)).await;
        match behaviour.unwrap().clone() {
            Behaviour::Accept | Behaviour::Stall => Ok(String::new()),
            Behaviour::Partially(text) => Ok(text),
            Behaviour::Refuse(status) => Err(status),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Core {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let count = |request: &ExportTraceServiceRequest| {
            request
                .resource_spans
                .iter()
                .flat_map(|resource| &resource.scope_spans)
                .map(|scope| scope.spans.len())
                .sum()
        };
        let text = self.answer(request, count).await?;
        let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: text };
        let partial_success = (!partial.error_message.is_empty()).then_some(partial);
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl MetricsService for Core {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.answer(request, |request| request.resource_metrics.len()).await?;
        Ok(Response::new(ExportMetricsServiceResponse { partial_success: None }))
    }
}

#[tonic::async_trait]
impl LogsService for Core {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.answer(request, |request| request.resource_logs.len()).await?;
        Ok(Response::new(ExportLogsServiceResponse { partial_success: None }))
    }
}
