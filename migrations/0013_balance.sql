-- What is looked for each second is found without reading every relay.
create index relays_gone on relays (tenant_id, fleet_id) where listed_in <> '{}' and session_id is null;
create index relays_to_drain on relays (relay_id) where drain_requested_at is not null and session_id is not null;
