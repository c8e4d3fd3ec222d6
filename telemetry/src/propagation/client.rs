//! The client's side: the current span travels in the request's metadata.
use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

/// Puts the current span into every request: `ServiceBuilder::new().layer(client_layer()).service(channel)`.
#[must_use]
pub const fn client_layer() -> ClientLayer {
    ClientLayer
}

/// Made by [`client_layer`].
#[derive(Clone, Copy, Debug)]
pub struct ClientLayer;

impl<S> Layer<S> for ClientLayer {
    type Service = InjectContext<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InjectContext { inner }
    }
}

/// A service that sends the current span's context along.
#[derive(Clone, Copy, Debug)]
pub struct InjectContext<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for InjectContext<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        super::inject(request.headers_mut());
        self.inner.call(request)
    }
}
