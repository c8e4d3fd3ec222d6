//! Every rpc of the descriptor asks who calls, so that a new one cannot be forgotten.
use ekiden_proto::admin::v1::Role;
use ekiden_tests::{
    certificates::client_config,
    harness::{Operator, operator::tls_channel, world::CONTROL_PLANE_NAME},
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Request, Status, client::Grpc, client::GrpcService};
use tonic_prost::ProstCodec;

use super::ways::running;

/// How the names of rpcs begin that only read.
const READS: [&str; 3] = ["Get", "List", "Watch"];

fn methods(package: &str) -> anyhow::Result<Vec<String>> {
    let descriptors = FileDescriptorSet::decode(ekiden_proto::DESCRIPTOR)?;
    let mut paths = Vec::new();
    for file in descriptors.file.iter().filter(|file| file.package() == package) {
        for service in &file.service {
            for method in &service.method {
                paths.push(format!("/{package}.{}/{}", service.name(), method.name()));
            }
        }
    }
    Ok(paths)
}

/// Calls an rpc with an empty message.
async fn call<S>(service: S, path: &str) -> anyhow::Result<Result<(), Status>>
where
    S: GrpcService<tonic::body::Body>,
    S::Error: Into<tonic::codegen::StdError>,
    S::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
    <S::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    let mut grpc = Grpc::new(service);
    let ready = grpc.ready().await.map_err(|error| anyhow::anyhow!("not ready: {}", error.into()));
    ready?;
    let codec = ProstCodec::<(), ()>::default();
    Ok(grpc.unary(Request::new(()), path.parse()?, codec).await.map(|_| ()))
}

async fn code(operator: &Operator, path: &str) -> anyhow::Result<Code> {
    Ok(call(operator.service(), path).await?.err().map_or(Code::Ok, |status| status.code()))
}

#[tokio::test]
async fn no_rpc_works_without_a_credential_and_none_that_changes_something_for_a_viewer()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let nobody = run.operator.with_token("")?;
    let viewer = run
        .operator
        .with_token(&run.operator.create_api_token(Role::Viewer, &run.customer.tenant).await?)?;
    let admin = methods("ekiden.admin.v1")?;
    assert!(admin.len() > 30, "the descriptor holds too little: {admin:?}");
    for path in &admin {
        assert_eq!(code(&nobody, path).await?, Code::Unauthenticated, "{path} without a token");
        let name = path.rsplit('/').next().unwrap_or_default();
        let reads = READS.iter().any(|verb| name.starts_with(verb));
        if !reads {
            let seen = code(&viewer, path).await?;
            // An empty request may be refused for what it lacks, but it must not be done.
            let refused =
                matches!(seen, Code::PermissionDenied | Code::InvalidArgument | Code::NotFound);
            assert!(refused, "{path} as a viewer: {seen:?}");
        }
    }
    for path in methods("ekiden.relay.v1")? {
        let seen = code(&run.operator, &path).await?;
        assert_eq!(seen, Code::Unimplemented, "{path} is served on the operators' port");
        let config = client_config(&run.control_plane.ca_pem()?, None)?;
        let channel = tls_channel(run.control_plane.relays(), CONTROL_PLANE_NAME, config)?;
        let seen = call(channel, &path).await?.err().map_or(Code::Ok, |status| status.code());
        let expected: &[Code] = if path.ends_with("/Enroll") || path.ends_with("/CreateChallenge") {
            &[Code::Unauthenticated, Code::InvalidArgument]
        } else {
            &[Code::Unauthenticated]
        };
        assert!(expected.contains(&seen), "{path} without a certificate: {seen:?}");
    }
    let config = client_config(&run.control_plane.ca_pem()?, None)?;
    let channel = tls_channel(run.control_plane.relays(), CONTROL_PLANE_NAME, config)?;
    for path in &admin {
        let seen =
            call(channel.clone(), path).await?.err().map_or(Code::Ok, |status| status.code());
        assert_eq!(seen, Code::Unimplemented, "{path} is served on the relays' port");
    }
    Ok(())
}
