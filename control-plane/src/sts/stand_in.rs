//! An STS of the tests: real TLS, real signatures, and on demand any answer at all.
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::sigv4::{Scope, canonical, signature};

/// Credentials that this STS has given out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Credential {
    pub(crate) access_key_id: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) token: &'static str,
    pub(crate) account: &'static str,
    partition: &'static str,
    expired: bool,
}

/// The relay's.
pub(crate) const GOOD: Credential = Credential {
    access_key_id: "ASIAEKIDENGOODRELAY1",
    secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    token: "IQoJb3JpZ2luX2VjEKIDEN//////////wEaDmFwLW5vcnRoZWFzdC0xIkcwRQ+GOOD/token==",
    account: "123456789012",
    partition: "aws",
    expired: false,
};
/// Of a role in another account, which its holder may well use.
pub(crate) const OTHER: Credential = Credential {
    access_key_id: "ASIAEKIDENOTHERRELAY",
    secret: "another/secret/EXAMPLEKEY",
    token: "IQoJb3JpZ2luX2VjEKIDEN//another+token==",
    account: "999999999999",
    ..GOOD
};
pub(crate) const EXPIRED: Credential = Credential {
    access_key_id: "ASIAEKIDENEXPIRED001",
    token: "IQoJb3JpZ2luX2VjEKIDEN//expired+token==",
    expired: true,
    ..GOOD
};
pub(crate) const CHINA: Credential = Credential {
    access_key_id: "ASIAEKIDENCHINA00001",
    token: "IQoJb3JpZ2luX2VjEKIDEN//china+token==",
    partition: "aws-cn",
    ..GOOD
};
pub(crate) const GOV: Credential = Credential {
    access_key_id: "ASIAEKIDENGOVCLOUD01",
    token: "IQoJb3JpZ2luX2VjEKIDEN//gov+token==",
    partition: "aws-us-gov",
    ..GOOD
};

/// Regions with a stand-in: name, host, partition.
pub(crate) const REGIONS: [(&str, &str, &str); 4] = [
    ("ap-northeast-1", "sts.ap-northeast-1.amazonaws.com", "aws"),
    ("us-east-1", "sts.us-east-1.amazonaws.com", "aws"),
    ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn", "aws-cn"),
    ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com", "aws-us-gov"),
];

impl Credential {
    /// STS's answer about it.
    pub(crate) fn answer(&self) -> String {
        let Self { account, partition, .. } = self;
        format!(
            r#"{{"GetCallerIdentityResponse":{{"GetCallerIdentityResult":{{"Account":"{account}","Arn":"arn:{partition}:sts::{account}:assumed-role/ekiden-relay/0f3c1b5e","UserId":"AROAEKIDENRELAYROLE01:0f3c1b5e"}},"ResponseMetadata":{{"RequestId":"9f2a"}}}}}}"#
        )
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case, in order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn new(
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Self {
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        headers.sort();
        let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
        Self { method, path, query, headers, body: body.to_owned() }
    }

    pub(crate) fn headers_named(&self, name: &str) -> impl Iterator<Item = &String> {
        self.headers.iter().filter(move |(its, _)| its == name).map(|(_, value)| value)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers_named(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// What STS does with it: the caller, or status and code of the refusal.
    fn check(&self) -> Result<Credential, (u16, &'static str)> {
        const INCOMPLETE: (u16, &str) = (400, "IncompleteSignature");
        const MISMATCH: (u16, &str) = (403, "SignatureDoesNotMatch");
        let host = self.header("host").ok_or(INCOMPLETE)?;
        let (region, _, partition) =
            REGIONS.into_iter().find(|(_, its, _)| *its == host).ok_or(MISMATCH)?;
        let authorization = self.header("authorization").ok_or(INCOMPLETE)?;
        let parts = authorization
            .strip_prefix("AWS4-HMAC-SHA256 Credential=")
            .and_then(|rest| rest.split_once(", SignedHeaders="))
            .and_then(|(scope, rest)| Some((scope, rest.split_once(", Signature=")?)));
        let (scope, (signed_headers, theirs)) = parts.ok_or(INCOMPLETE)?;
        let scope: Vec<&str> = scope.split('/').collect();
        let [access_key_id, day, signed_region, service, "aws4_request"] = scope[..] else {
            return Err(INCOMPLETE);
        };
        let caller = [GOOD, OTHER, EXPIRED, CHINA, GOV]
            .into_iter()
            .find(|known| known.access_key_id == access_key_id && known.partition == partition)
            .filter(|known| self.header("x-amz-security-token") == Some(known.token))
            .ok_or((403, "InvalidClientTokenId"))?;
        let names: Vec<&str> = signed_headers.split(';').collect();
        let must =
            self.headers.iter().filter(|(name, _)| name == "host" || name.starts_with("x-amz-"));
        let date = self.header("x-amz-date").ok_or(INCOMPLETE)?;
        let canonical = canonical(self, signed_headers).ok_or(MISMATCH)?;
        let scope = Scope { day, region: signed_region, service };
        if (signed_region, service) != (region, "sts")
            || !date.starts_with(day)
            || !names.is_sorted()
            || !must.map(|(name, _)| name.as_str()).all(|name| names.contains(&name))
            || signature(caller.secret, scope, date, &canonical) != theirs
        {
            return Err(MISMATCH);
        }
        if caller.expired {
            return Err((403, "ExpiredToken"));
        }
        if (self.method.as_str(), self.body.as_str())
            != ("POST", "Action=GetCallerIdentity&Version=2011-06-15")
        {
            return Err((400, "InvalidAction"));
        }
        Ok(caller)
    }
}

/// How the stand-in answers.
#[derive(Clone)]
pub(crate) enum Reply {
    /// As STS would.
    Checked,
    /// Status, where to, body.
    Said(u16, Option<&'static str>, String),
    /// The connection ends instead.
    Closed,
    /// Nothing ever comes.
    Silence,
}

/// Says what STS says of a request that it refuses.
pub(crate) fn refusal(code: &str) -> String {
    format!(r#"{{"Error":{{"Code":"{code}","Message":"No.","Type":"Sender"}},"RequestId":"9f2a"}}"#)
}

/// A certificate authority of a test.
pub(crate) struct Ca(Issuer<'static, KeyPair>, CertificateDer<'static>);

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self(Issuer::new(params, key), root)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.1.clone()).unwrap();
        roots
    }

    fn serves(&self, names: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

struct State {
    reply: Mutex<Reply>,
    received: Mutex<Vec<Received>>,
}

/// A stand-in that serves until it is dropped.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

impl StandIn {
    /// Serves with a certificate for these names.
    pub(crate) async fn start(ca: &Ca, names: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reply, received) = (Mutex::new(Reply::Checked), Mutex::default());
        let state = Arc::new(State { reply, received });
        let (tls, serving) = (ca.serves(names), Arc::clone(&state));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, tls.clone(), Arc::clone(&serving)));
            }
        });
        Self { address, state, _serving: tasks }
    }

    /// Answers like this from now on.
    pub(crate) fn reply(&self, reply: Reply) {
        *self.state.reply.lock().unwrap() = reply;
    }

    /// What has arrived since the last time.
    pub(crate) fn received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.state.received.lock().unwrap())
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, state: Arc<State>) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    let connections = Builder::new(TokioExecutor::new());
    // A connection may end as it likes: what counts is what the control plane makes of it.
    drop(connections.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> io::Result<Response<String>> {
    let (parts, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let query = parts.uri.query().unwrap_or_default();
    let body = String::from_utf8(bytes).unwrap();
    let received = Received::new(parts.method.as_str(), parts.uri.path(), query, &headers, &body);
    state.received.lock().unwrap().push(received.clone());
    let reply = state.reply.lock().unwrap().clone();
    let (status, to, text) = match reply {
        Reply::Closed => return Err(io::ErrorKind::ConnectionAborted.into()),
        Reply::Silence => return std::future::pending().await,
        Reply::Said(status, to, text) => (status, to, text),
        Reply::Checked => match received.check() {
            Ok(caller) => (200, None, caller.answer()),
            Err((status, code)) => (status, None, refusal(code)),
        },
    };
    let mut response = Response::builder().status(status);
    if let Some(to) = to {
        response = response.header("location", to);
    }
    Ok(response.body(text).unwrap())
}
