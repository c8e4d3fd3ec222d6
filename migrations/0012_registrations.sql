-- What the registry may hold of each relay, and what is asked of relays on their way out.
alter table relays
    add column listed_in text[] not null default '{}',
    add column in_dns text[] not null default '{}',
    add column leaving_at timestamptz,
    add column drain_requested_at timestamptz,
    add column reap_after timestamptz;
create index relays_listed on relays (tenant_id, fleet_id) where listed_in <> '{}';
