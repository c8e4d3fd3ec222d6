//! Fleets over several service names.
use ekiden_proto::{
    admin::v1::Fleet,
    settings::v1::{Cell, Discovery},
};
use ekiden_tests::harness::{
    customer::discovery,
    wait::{self, SAFETY},
};

use super::ways::{HEALS, TTL, running};

#[tokio::test]
async fn every_cells_name_answers_and_the_fleets_own_does_so_still() -> anyhow::Result<()> {
    let mut run = running(4).await?;
    let cells = ["relay-acme-a", "relay-acme-b"].map(|name| run.world.provide_service(name, TTL));
    let mut wanted: Discovery = discovery(&run.customer.service, &run.customer.dns_name, TTL);
    let cloud_map = wanted.cloud_map.get_or_insert_default();
    cloud_map.cells = cells
        .iter()
        .map(|(service, name)| Cell { service_id: service.clone(), dns_name: name.clone() })
        .collect();
    let fleet =
        Fleet { name: run.customer.fleet.clone(), discovery: Some(wanted), ..Fleet::default() };
    run.operator.change_fleet(fleet, &["discovery"]).await?;

    let in_cell = |service: &String| run.world.cloud_map.instances(service).len();
    wait::until("each cell has its relays", SAFETY, async || {
        let sizes = cells.each_ref().map(|(service, _)| in_cell(service));
        Ok((sizes == [2, 2]).then_some(()))
    })
    .await?;
    assert_eq!(in_cell(&run.customer.service), 4);
    let resolver = run.world.resolver()?;
    for (_, name) in &cells {
        wait::until("the cell's name answers", SAFETY, async || {
            resolver.forget();
            Ok((resolver.addresses(name).await.unwrap_or_default().len() == 2).then_some(()))
        })
        .await?;
    }

    // Those of a cell that go are replaced from the other: no cell is left with fewer than two.
    let gone = run.world.cloud_map.instances(&cells[0].0);
    for (task, _) in gone {
        let at = run.relays.iter().position(|relay| relay.task() == task);
        let mut relay = run.relays.remove(at.expect("one of ours"));
        assert!(relay.terminate(HEALS).await?.success());
    }
    wait::until("both cells have two relays again", HEALS, async || {
        let sizes =
            cells.each_ref().map(|(service, _)| run.world.cloud_map.instances(service).len());
        Ok((sizes == [2, 2]).then_some(()))
    })
    .await
}
