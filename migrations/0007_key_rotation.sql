-- Rotations of access keys: at most one at a time per key, and what relays' collectors said to the new version.

alter table access_keys add column last_version bigint;
update access_keys set last_version = current_version;
-- Numbers are never used again, also those of versions that a rotation brought and took back.
alter table access_keys alter column last_version set not null, add check (last_version >= current_version);

create table key_rotations (
    tenant_id resource_id not null,
    access_key_id resource_id not null,
    new_version bigint not null,
    old_version bigint not null check (old_version < new_version),
    new_fingerprint text not null,
    old_fingerprint text not null,
    state text not null check (state in
        ('added', 'distributing', 'preferred', 'old-draining', 'old-disabled', 'old-destroyed', 'cancelled')),
    grace_seconds bigint not null check (grace_seconds between 0 and 2592000),
    started_at timestamptz not null,
    state_at timestamptz not null,
    stopped_at timestamptz,
    traceparent text not null,
    primary key (tenant_id, access_key_id, new_version),
    foreign key (tenant_id, access_key_id) references access_keys on delete cascade
);
create unique index key_rotations_open on key_rotations (tenant_id, access_key_id)
    where state not in ('old-destroyed', 'cancelled');

create table relay_key_trials (
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    relay_id uuid not null,
    access_key_id resource_id not null,
    key_version bigint not null,
    collector_id resource_id not null,
    -- ekiden.relay.v1.KeyTrialOutcome.
    outcome smallint not null,
    message text not null,
    observed_at timestamptz not null,
    primary key (tenant_id, relay_id, access_key_id, key_version, collector_id),
    foreign key (tenant_id, fleet_id, relay_id) references relays on delete cascade,
    foreign key (tenant_id, access_key_id) references access_keys on delete cascade
);
create index relay_key_trials_by_key on relay_key_trials (tenant_id, access_key_id, key_version);

do $$
declare
    name text;
begin
    foreach name in array array['key_rotations', 'relay_key_trials'] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format(
            'create policy tenant on %I to ekiden_tenant using (tenant_id = ekiden_tenant()) with check (tenant_id = ekiden_tenant())',
            name);
        execute format('create policy provider on %I to ekiden_provider using (true) with check (true)', name);
        execute format('grant select, insert, update, delete on %I to ekiden_tenant, ekiden_provider', name);
    end loop;
end $$;
