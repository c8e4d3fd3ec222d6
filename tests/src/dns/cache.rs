//! The VPC's resolver as workloads meet it: asks the authoritative server and remembers each answer, also that there is
//! none, for its TTL. Who asks later is told what is left of that.
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{
    net::{DnsError, NetError, NoRecords},
    proto::{
        op::{Header, HeaderCounts, Metadata, ResponseCode},
        rr::{Name, RData, Record},
    },
};
use hickory_server::{
    net::runtime::Time,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server},
    zone_handler::MessageResponseBuilder,
};
use rand::seq::SliceRandom as _;

use super::{TCP_CONNECTIONS, TCP_TIMEOUT, bind};
use crate::workloads::resolver::Resolver;

/// A running cache; it stops when dropped.
pub struct Cache {
    address: SocketAddr,
    /// Aborts its loops when dropped.
    _server: Server<Handler>,
}

#[derive(Debug)]
struct Handler {
    resolver: Resolver,
}

impl Cache {
    /// Starts it before `authority`, on the same port by UDP and TCP.
    pub async fn start(address: IpAddr, authority: SocketAddr) -> anyhow::Result<Self> {
        let (udp, tcp) = bind(address).await?;
        let address = udp.local_addr()?;
        let mut server = Server::new(Handler { resolver: Resolver::new(authority)? });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_CONNECTIONS);
        Ok(Self { address, _server: server })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[tonic::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let none = ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
        let Ok(info) = request.request_info() else { return none };
        let name = Name::from(info.query.name());
        let mut answers = Vec::new();
        let mut authority = Vec::new();
        match self.resolver.lookup(&name.to_ascii(), info.query.query_type()).await {
            Ok(lookup) => {
                answers = lookup.answers().to_vec();
                answers.shuffle(&mut rand::rng());
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
                metadata.response_code = nothing.response_code;
                authority.extend(soa(&nothing));
            }
            Err(_) => metadata.response_code = ResponseCode::ServFail,
        }
        let builder = MessageResponseBuilder::new(&request.queries, request.edns.as_ref());
        let response =
            builder.build(metadata, answers.iter(), [].iter(), authority.iter(), [].iter());
        match response_handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "sending a DNS answer");
                none
            }
        }
    }
}

/// Builds the record that says for how long the absence may be remembered from now on.
fn soa(nothing: &NoRecords) -> Option<Record> {
    let soa = nothing.soa.as_ref()?;
    let mut data = soa.data.clone();
    let left = nothing.negative_ttl.unwrap_or(soa.ttl);
    data.minimum = left;
    Some(Record::from_rdata(soa.name.clone(), left, RData::SOA(data)))
}
