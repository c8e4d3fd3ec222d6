//! The OTLP services of a collector.
use std::sync::Arc;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{
    Request, Response, Status, codec::CompressionEncoding, metadata::MetadataMap, service::Routes,
};

use super::{Shared, behaviour::Behaviour};

/// Largest request that a collector takes, in bytes.
const MAX_REQUEST: usize = 32 << 20;

#[derive(Clone)]
struct Otlp {
    shared: Arc<Shared>,
}

/// Serves one connection until the peer leaves.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> anyhow::Result<()> {
    let otlp = Otlp { shared };
    let (gzip, zstd) = (CompressionEncoding::Gzip, CompressionEncoding::Zstd);
    let traces = TraceServiceServer::new(otlp.clone())
        .accept_compressed(gzip)
        .accept_compressed(zstd)
        .max_decoding_message_size(MAX_REQUEST);
    let metrics = MetricsServiceServer::new(otlp.clone())
        .accept_compressed(gzip)
        .accept_compressed(zstd)
        .max_decoding_message_size(MAX_REQUEST);
    let logs = LogsServiceServer::new(otlp)
        .accept_compressed(gzip)
        .accept_compressed(zstd)
        .max_decoding_message_size(MAX_REQUEST);
    let routes = Routes::new(traces).add_service(metrics).add_service(logs).prepare();
    let http = auto::Builder::new(TokioExecutor::new()).http2_only();
    let served =
        http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
    served.map_err(|error| anyhow::anyhow!(error))
}

impl Otlp {
    /// Decides about one request: the key that it came under and how many of its records to reject.
    async fn admit(
        &self,
        headers: &MetadataMap,
    ) -> Result<(String, Option<(i64, String)>), Status> {
        let mut behaviour = self.shared.behaviour.subscribe();
        let stalls = |behaviour: &Behaviour| matches!(behaviour, Behaviour::Stall);
        let Ok(behaviour) =
            behaviour.wait_for(|behaviour| !stalls(behaviour)).await.map(|now| now.clone())
        else {
            return Err(Status::unavailable("the vendor stops"));
        };
        let key = self.shared.records.check(headers);
        let key =
            key.ok_or_else(|| Status::unauthenticated("the vendor does not know this access key"))?;
        match behaviour {
            Behaviour::PartialSuccess { rejected, message } => Ok((key, Some((rejected, message)))),
            behaviour => behaviour.status().map_or(Ok((key, None)), Err),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Otlp {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (key, rejects) = self.admit(request.metadata()).await?;
        self.shared.records.trace(key, request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: rejects.map(|(rejected_spans, error_message)| {
                ExportTracePartialSuccess { rejected_spans, error_message }
            }),
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Otlp {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (key, rejects) = self.admit(request.metadata()).await?;
        self.shared.records.metric(key, request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse {
            partial_success: rejects.map(|(rejected_data_points, error_message)| {
                ExportMetricsPartialSuccess { rejected_data_points, error_message }
            }),
        }))
    }
}

#[tonic::async_trait]
impl LogsService for Otlp {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (key, rejects) = self.admit(request.metadata()).await?;
        self.shared.records.log(key, request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse {
            partial_success: rejects.map(|(rejected_log_records, error_message)| {
                ExportLogsPartialSuccess { rejected_log_records, error_message }
            }),
        }))
    }
}
