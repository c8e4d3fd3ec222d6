use ekiden_settings::Host;

use super::*;
use crate::fake_control_plane::{Authority, FakeControlPlane};

fn dialer(target: ControlPlane, server_name: Option<&str>, authority: &Authority) -> Dialer {
    let resolver = Resolver::new(&["127.0.0.1:9".parse().unwrap()]).unwrap();
    let server_name = server_name.map(|name| ServerName::try_from(name.to_owned()).unwrap());
    Dialer::new(target, server_name, Trust::new(&[authority.root()]), resolver).unwrap()
}

fn at(control_plane: &FakeControlPlane) -> ControlPlane {
    ControlPlane::Host {
        host: Host::Address(control_plane.address.ip()),
        port: control_plane.address.port(),
    }
}

#[tokio::test]
async fn a_control_plane_with_another_name_is_not_talked_to() {
    let control_plane = FakeControlPlane::start().await;
    let dial = |name| dialer(at(&control_plane), name, &control_plane.authority);
    assert!(dial(None).connect(None).await.is_ok());
    assert!(dial(Some("localhost")).connect(None).await.is_ok());
    let error = dial(Some("elsewhere.example")).connect(None).await.unwrap_err();
    let told = crate::error_chain::chain(&error);
    assert!(told.contains("TLS with") && told.contains("not valid for name"), "{told}");
}

#[tokio::test]
async fn a_control_plane_of_another_authority_is_not_talked_to() {
    let control_plane = FakeControlPlane::start().await;
    let error =
        dialer(at(&control_plane), None, &Authority::new()).connect(None).await.unwrap_err();
    let told = crate::error_chain::chain(&error);
    assert!(told.contains("invalid peer certificate"), "{told}");
}

#[tokio::test]
async fn a_closed_port_is_told_as_such() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = ControlPlane::Host { host: Host::Address(closed.ip()), port: closed.port() };
    let error = dialer(target, None, &Authority::new()).connect(None).await.unwrap_err();
    let told = crate::error_chain::chain(&error);
    assert!(told.contains("does not accept connections"), "{told}");
}

#[test]
fn an_srv_records_own_domain_is_the_name_to_check() {
    let target = ControlPlane::Srv { name: "_relays._tcp.ekiden.example".to_owned() };
    let dialer = dialer(target, None, &Authority::new());
    assert_eq!(dialer.server_name, ServerName::try_from("ekiden.example").unwrap());
    assert_eq!(dialer.origin, "https://ekiden.example/");
}
