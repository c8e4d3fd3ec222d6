-- The spine: tenants and what belongs to them, settings revisions, identities, relays and their health, audit.
-- Every tenant's row carries tenant_id first in its key, so foreign keys cannot cross tenants.

create domain resource_id as text collate "C" check (value ~ '^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$');

create table tenants (
    tenant_id resource_id primary key,
    display_name text not null check (char_length(display_name) <= 200),
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);

create table access_keys (
    tenant_id resource_id not null references tenants,
    access_key_id resource_id not null,
    display_name text not null check (char_length(display_name) <= 200),
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    current_version bigint not null check (current_version >= 1),
    fingerprint text not null,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    disabled_at timestamptz,
    primary key (tenant_id, access_key_id)
);

-- One row a value ever set. `sealed` is nonce || ciphertext || tag under the data key; `wrapped_data_key` likewise under the master key.
create table access_key_versions (
    tenant_id resource_id not null,
    access_key_id resource_id not null,
    key_version bigint not null check (key_version >= 1),
    sealed bytea not null,
    wrapped_data_key bytea not null,
    master_key_id text not null,
    created_at timestamptz not null,
    primary key (tenant_id, access_key_id, key_version),
    foreign key (tenant_id, access_key_id) references access_keys on delete cascade
);

create table collectors (
    tenant_id resource_id not null references tenants,
    collector_id resource_id not null,
    display_name text not null check (char_length(display_name) <= 200),
    preset text not null default '',
    -- Encoded ekiden.settings.v1.Collector without its name.
    spec bytea not null,
    access_key_id resource_id,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, collector_id),
    foreign key (tenant_id, access_key_id) references access_keys
);
create index collectors_by_access_key on collectors (tenant_id, access_key_id);

create table fleets (
    tenant_id resource_id not null references tenants,
    fleet_id resource_id not null,
    display_name text not null check (char_length(display_name) <= 200),
    -- Encoded ekiden.settings.v1.Settings with listeners, discovery and limits only.
    spec bytea not null,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, fleet_id)
);

-- Which collectors a fleet's listeners name; keeps a collector in use from being deleted.
create table fleet_collectors (
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    collector_id resource_id not null,
    primary key (tenant_id, fleet_id, collector_id),
    foreign key (tenant_id, fleet_id) references fleets on delete cascade,
    foreign key (tenant_id, collector_id) references collectors
);
create index fleet_collectors_by_collector on fleet_collectors (tenant_id, collector_id);

create table revisions (
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    revision bigint not null check (revision >= 1),
    hash bytea not null check (octet_length(hash) = 32),
    settings bytea not null check (octet_length(settings) <= 1048576),
    actor text not null,
    traceparent text not null default '',
    tracestate text not null default '',
    created_at timestamptz not null,
    primary key (tenant_id, fleet_id, revision),
    foreign key (tenant_id, fleet_id) references fleets on delete cascade
);

-- The truth that sessions follow. Rows change by UPDATE … RETURNING under their lock, so numbers are gapless and in commit order.
create table heads (
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    revision bigint not null,
    hash bytea not null check (octet_length(hash) = 32),
    secret_version bigint not null default 1,
    secret_traceparent text not null default '',
    updated_at timestamptz not null,
    primary key (tenant_id, fleet_id),
    foreign key (tenant_id, fleet_id) references fleets on delete cascade,
    foreign key (tenant_id, fleet_id, revision) references revisions deferrable initially deferred
);

create table enrollment_tokens (
    enrollment_token_id uuid primary key,
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    display_name text not null check (char_length(display_name) <= 200),
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    max_uses integer not null check (max_uses between 1 and 1000000),
    uses integer not null default 0 check (uses between 0 and max_uses),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    foreign key (tenant_id, fleet_id) references fleets on delete cascade
);
create index enrollment_tokens_by_fleet on enrollment_tokens (tenant_id, fleet_id, enrollment_token_id);

create table api_tokens (
    api_token_id uuid primary key,
    tenant_id resource_id references tenants,
    role text not null check (role in ('operator', 'tenant-admin', 'viewer')),
    display_name text not null check (char_length(display_name) <= 200),
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    last_used_at timestamptz,
    check ((role = 'operator' and tenant_id is null) or (role = 'tenant-admin' and tenant_id is not null) or role = 'viewer')
);

create table relays (
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    relay_id uuid not null,
    address text not null default '',
    availability_zone text not null default '',
    task_arn text not null default '',
    hostname text not null default '',
    software_version text not null default '',
    enrolled_at timestamptz not null,
    enrollment_token_id uuid references enrollment_tokens on delete set null,
    certificate_serial bytea not null,
    -- Still good until a session shows the new one: a relay may die between the two.
    previous_certificate_serial bytea,
    certificate_expires_at timestamptz not null,
    -- Fence: every session that opens takes the next epoch; writes with an older one are dropped.
    session_epoch bigint not null default 0,
    session_id uuid,
    replica_id uuid,
    connected_at timestamptz,
    disconnected_at timestamptz,
    left_at timestamptz,
    last_seen_at timestamptz,
    running_revision bigint not null default 0,
    attempted_revision bigint not null default 0,
    settings_phase smallint not null default 0,
    -- Encoded ekiden.relay.v1.SettingsStatus of the last attempt.
    settings_status bytea,
    secret_version bigint not null default 0,
    primary key (tenant_id, fleet_id, relay_id),
    foreign key (tenant_id, fleet_id) references fleets on delete cascade
) with (fillfactor = 50);
create unique index relays_by_id on relays (relay_id);

-- Revisions that a relay refused; never offered to it again.
create table relay_rejections (
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    relay_id uuid not null,
    revision bigint not null,
    rejected_at timestamptz not null,
    primary key (tenant_id, fleet_id, relay_id, revision),
    foreign key (tenant_id, fleet_id, relay_id) references relays on delete cascade
);

-- Last report of each relay.
create table relay_health (
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    relay_id uuid not null,
    session_epoch bigint not null,
    phase smallint not null,
    report bytea not null,
    observed_at timestamptz not null,
    received_at timestamptz not null,
    primary key (tenant_id, fleet_id, relay_id),
    foreign key (tenant_id, fleet_id, relay_id) references relays on delete cascade
) with (fillfactor = 50);

-- Every report, by hour of arrival; partitions are made ahead and dropped after 24 h by the control plane.
create table relay_health_history (
    tenant_id text not null,
    fleet_id text not null,
    relay_id uuid not null,
    phase smallint not null,
    report bytea not null,
    observed_at timestamptz not null,
    received_at timestamptz not null
) partition by range (received_at);
create index relay_health_history_by_relay on relay_health_history (relay_id, received_at desc);

-- Control plane processes; a relay's session counts only while its replica's lease holds.
create table replicas (
    replica_id uuid primary key,
    started_at timestamptz not null,
    lease_until timestamptz not null
);

create table audit_events (
    audit_event_id uuid primary key,
    tenant_id text,
    created_at timestamptz not null,
    actor text not null,
    peer text not null,
    method text not null,
    resource text not null,
    changed_fields text[] not null default '{}',
    trace_id text not null default ''
);
create index audit_events_by_tenant on audit_events (tenant_id, audit_event_id desc);

-- Answers to calls that carried a request_id, for 24 h.
create table idempotent_requests (
    caller text not null,
    method text not null,
    request_id uuid not null,
    request_hash bytea not null check (octet_length(request_hash) = 32),
    response bytea not null,
    created_at timestamptz not null,
    primary key (caller, method, request_id)
);
create index idempotent_requests_by_age on idempotent_requests (created_at);

-- The control plane's own secrets, sealed like access keys: CA private keys, keys for page tokens and fingerprints.
create table server_secrets (
    name text primary key,
    sealed bytea not null,
    wrapped_data_key bytea not null,
    master_key_id text not null,
    created_at timestamptz not null
);

create table certificate_authorities (
    certificate_authority_id uuid primary key,
    certificate bytea not null,
    -- Name of its private key in server_secrets.
    secret_name text not null references server_secrets,
    not_after timestamptz not null,
    created_at timestamptz not null
);
