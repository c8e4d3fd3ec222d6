//! A port that is listened on.

use std::{io, net::SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use crate::collector::KEEPALIVE;

/// Connections that the kernel holds until they are accepted; it caps this by `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Opens a port. What is set here is inherited by every connection, which saves calls for each.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&KEEPALIVE)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether accepting failed for want of file descriptors or memory; other failures are one connection's own.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_process_without_descriptors_is_told_from_a_connection_that_is_gone() {
        assert!(is_exhausted(&Errno::MFILE.into()));
        assert!(is_exhausted(&Errno::NFILE.into()));
        assert!(!is_exhausted(&Errno::CONNABORTED.into()));
        assert!(!is_exhausted(&io::Error::other("anything else")));
    }
}
