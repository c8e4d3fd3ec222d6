//! Passes raw bytes on: workload to collector and back, until one side has had enough.
//!
//! An idle connection holds no buffer. `copy`: both ways in one task. `buffer`: borrowed while there is something to
//! read. `pipe`: bulk between plain connections stays in the kernel.

mod buffer;
mod copy;
mod pipe;
mod way;

use tokio::net::TcpStream;

use super::{CloseCause, connections::Place};
use crate::{
    collector::{CollectorPool, DialError, Dialled, Stream},
    listener::tcp::copy::copy,
};

/// Serves one workload's connection until it ends.
pub(crate) async fn serve(workload: TcpStream, pool: &CollectorPool, place: &Place) -> CloseCause {
    // Boxed, so that the memory that dialling needs is given back while bytes flow.
    let dialled = Box::pin(async {
        tokio::select! {
            told = place.connection().told() => Err(told.cause),
            dialled = pool.dial() => dialled.map_err(|error: DialError| CloseCause::from(&error)),
        }
    });
    match dialled.await {
        Ok(Dialled { stream, .. }) => {
            place.connection().flows();
            copy(Stream::Plain(workload), stream, place).await
        }
        Err(cause) => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_keeps_while_idle_is_small() {
        fn size_of_future<F>(
            _: impl FnOnce(TcpStream, &'static CollectorPool, &'static Place) -> F,
        ) -> usize {
            size_of::<F>()
        }
        let size = size_of_future(serve);
        assert!(size <= 512, "{size} bytes");
    }
}
