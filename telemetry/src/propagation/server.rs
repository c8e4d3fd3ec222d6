//! The server's side: one span per rpc, under the caller's, with the attributes of the semantic conventions for gRPC.
use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{
    Code,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower::{Layer, Service};
use tracing::{Span, field::Empty};

use crate::names;

/// Load balancers and container health checks call it every few seconds; their traces would drown the rest.
const HEALTH: &str = "grpc.health.v1.Health/";

/// Opens a span per rpc. Its parent comes from the request's metadata. The peer's address comes from a [`SocketAddr`] or
/// one of tonic's connect infos in the request's extensions. Health checks get no span.
#[must_use]
pub const fn server_layer() -> ServerLayer {
    ServerLayer { except: &[] }
}

/// Made by [`server_layer`].
#[derive(Clone, Copy, Debug)]
pub struct ServerLayer {
    except: &'static [&'static str],
}

impl ServerLayer {
    /// Opens no span for these methods, `package.Service/Method`: streams that live for days, whose span would be
    /// exported only at their end.
    #[must_use]
    pub const fn except(self, methods: &'static [&'static str]) -> Self {
        Self { except: methods }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = TraceRpcs<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceRpcs { inner, except: self.except }
    }
}

/// A service whose every rpc has a span.
#[derive(Clone, Copy, Debug)]
pub struct TraceRpcs<S> {
    inner: S,
    except: &'static [&'static str],
}

impl<S, B, R> Service<Request<B>> for TraceRpcs<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<RpcBody<R>>;
    type Error = S::Error;
    type Future = RpcFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let rpc = Rpc::open(&request, self.except);
        let future = rpc.span.in_scope(|| self.inner.call(request));
        RpcFuture { future, rpc: Some(rpc) }
    }
}

/// One rpc's span and whether its outcome is known.
#[derive(Debug)]
struct Rpc {
    span: Span,
    finished: bool,
}

impl Rpc {
    fn open<B>(request: &Request<B>, except: &[&str]) -> Self {
        let method = method(request.uri().path());
        if method.starts_with(HEALTH) || except.contains(&method) {
            return Self { span: Span::none(), finished: true };
        }
        let span = tracing::info_span!(
            "rpc",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            { names::RPC_SYSTEM_NAME } = "grpc",
            { names::RPC_METHOD } = method,
            { names::RPC_RESPONSE_STATUS_CODE } = Empty,
            { names::NETWORK_PEER_ADDRESS } = Empty,
            { names::NETWORK_PEER_PORT } = Empty,
        );
        super::set_parent_context(&span, super::extract(request.headers()));
        if let Some(peer) = peer(request) {
            span.record(names::NETWORK_PEER_ADDRESS, peer.ip().to_string());
            span.record(names::NETWORK_PEER_PORT, i64::from(peer.port()));
        }
        Self { span, finished: false }
    }

    /// Takes the outcome from headers (an answer without a body) or trailers.
    fn see(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.finish(Code::from_bytes(status.as_bytes()));
        }
    }

    fn finish(&mut self, code: Code) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.span.record(names::RPC_RESPONSE_STATUS_CODE, code_name(code));
        if is_server_fault(code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}

/// `package.Service/Method`; anything else is called the same, so that garbage makes no new names.
fn method(path: &str) -> &str {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'))
    };
    path.strip_prefix('/')
        .filter(|method| {
            method.len() <= 128
                && method.split_once('/').is_some_and(|(service, rpc)| plain(service) && plain(rpc))
        })
        .unwrap_or("_OTHER")
}

fn peer<B>(request: &Request<B>) -> Option<SocketAddr> {
    let extensions = request.extensions();
    extensions
        .get::<SocketAddr>()
        .copied()
        .or_else(|| extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr))
        .or_else(|| {
            extensions
                .get::<TlsConnectInfo<TcpConnectInfo>>()
                .and_then(|info| info.get_ref().remote_addr())
        })
}

const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Codes that the semantic conventions count as an error of the server's span; the rest is the caller's.
const fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

pin_project! {
    /// Waits for the answer's head inside the rpc's span.
    #[derive(Debug)]
    pub struct RpcFuture<F> {
        #[pin]
        future: F,
        rpc: Option<Rpc>,
    }
}

impl<F, R, E> Future for RpcFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<RpcBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _entered = this.rpc.as_ref().map(|rpc| rpc.span.enter());
            ready!(this.future.poll(context))
        };
        let mut rpc = this.rpc.take();
        Poll::Ready(match result {
            Ok(response) => {
                if let Some(rpc) = &mut rpc {
                    rpc.see(response.headers());
                }
                Ok(response.map(|body| RpcBody { body, rpc }))
            }
            Err(error) => {
                if let Some(rpc) = &mut rpc {
                    rpc.finish(Code::Unknown);
                }
                Err(error)
            }
        })
    }
}

pin_project! {
    /// The answer's messages and trailers; the rpc's span lasts as long.
    #[derive(Debug)]
    pub struct RpcBody<B> {
        #[pin]
        body: B,
        rpc: Option<Rpc>,
    }
}

impl<B: Body> Body for RpcBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let frame = {
            let _entered = this.rpc.as_ref().map(|rpc| rpc.span.enter());
            ready!(this.body.poll_frame(context))
        };
        if let Some(rpc) = this.rpc {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        rpc.see(trailers);
                    }
                }
                Some(Err(_)) => rpc.finish(Code::Unknown),
                None => {}
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_methods_become_names() {
        assert_eq!(
            method("/ekiden.admin.v1.TenantService/GetTenant"),
            "ekiden.admin.v1.TenantService/GetTenant"
        );
        for garbage in ["", "/", "/a", "/a/", "//b", "/a/b/c", "/a/%00", "/../etc", "x/y"] {
            assert_eq!(method(garbage), "_OTHER", "{garbage}");
        }
    }
}
