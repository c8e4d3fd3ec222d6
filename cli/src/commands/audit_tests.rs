use super::*;
use crate::{commands::tests::at, output::structured};

#[test]
fn audit_events_are_shown() {
    let event = AuditEvent {
        name: "tenants/acme/auditEvents/1".to_owned(),
        create_time: at(60),
        actor: "apiTokens/0198c5d2".to_owned(),
        peer: "192.0.2.1".to_owned(),
        method: "/ekiden.admin.v1.FleetService/UpdateFleet".to_owned(),
        resource: "tenants/acme/fleets/tokyo".to_owned(),
        changed_fields: vec!["listeners".to_owned(), "limits".to_owned()],
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        sequence: 3,
        previous_hash: vec![1; 32],
        hash: vec![2; 32],
    };
    let system = AuditEvent { actor: "controlPlane".to_owned(), ..AuditEvent::default() };
    insta::assert_snapshot!(
        "audit_events",
        [table(&[event.clone(), system]), structured::json(&event).unwrap()].join("\n")
    );
}
