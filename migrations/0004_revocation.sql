-- A relay that is revoked stays known and gets no session, no settings and no certificate any more.
alter table relays
    add column revoked_at timestamptz,
    -- How often in a row a session was opened while another of the same relay was younger than a minute: two tasks with one key.
    add column contests integer not null default 0;
-- Small, so that every replica can look each second.
create index relays_revoked on relays (revoked_at) where revoked_at is not null;
create index relays_by_token on relays (tenant_id, enrollment_token_id);
