//! Long-lived connections and relays that join later.
use std::time::Duration;

use ekiden_proto::{admin::v1::Fleet, settings::v1::ListenerProtocol};
use ekiden_tests::{
    harness::customer::{OTLP_PORT, TCP_PORT, listener},
    workloads::tcp::Held,
};

use super::ways::running_with;

/// Enough that half of them are more than chance.
const CONNECTIONS: usize = 64;

#[tokio::test]
async fn a_crowded_relay_lets_connections_go_once_a_sibling_has_room() -> anyhow::Result<()> {
    let mut run = running_with(1, &[("EKIDEN_BALANCE_INTERVAL", "1")]).await?;
    let mut tcp = listener("tcp", TCP_PORT, ListenerProtocol::Tcp, &run.customer.tcp_collector);
    tcp.max_connection_age = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let otlp = listener("otlp", OTLP_PORT, ListenerProtocol::Otlp, &run.customer.otlp_collector);
    let fleet =
        Fleet { name: run.customer.fleet.clone(), listeners: vec![otlp, tcp], ..Fleet::default() };
    let changed = run.operator.change_fleet(fleet, &["listeners"]).await?;
    let runs =
        |known: &ekiden_proto::admin::v1::Relay| known.running_revision == changed.desired_revision;
    run.known(&run.relays[0], "the relay bounds its connections' age", runs).await?;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Held::open(run.relays[0].listener(TCP_PORT)).await?;
        connection.beat().await?;
        held.push(connection);
    }

    let shed = ("listener_connections_closed_total", [("listener", "tcp"), ("cause", "shed")]);
    // Long enough for three looks.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let alone = run.relays[0].figure(shed.0, &shed.1).await?;
    assert!(alone.abs() < f64::EPSILON, "{alone}: there was nobody to go to");
    let _sibling = run.ready_relay("sibling").await?;
    run.relays[0].figure_reaches(shed.0, &shed.1, 8.0).await?;

    let mut stayed = 0;
    for connection in &mut held {
        stayed += usize::from(connection.beat().await.is_ok());
    }
    assert!((16..CONNECTIONS).contains(&stayed), "{stayed}");
    let counted = run.world.sink.counter_reaches("ekiden.control_plane.sheds.asked", &[], 8.0);
    Ok(counted.await?)
}
