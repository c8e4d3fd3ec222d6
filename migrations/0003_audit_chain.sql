-- Audit events form a chain a tenant, and one for what belongs to no tenant: each carries the hash of the one before it.
-- Events from before this migration have sequence 0 and no hash.
alter table audit_events
    add column sequence bigint not null default 0 check (sequence >= 0),
    add column previous_hash bytea not null default '',
    add column hash bytea not null default '';
create unique index audit_events_by_place on audit_events (coalesce(tenant_id, ''), sequence) where sequence > 0;

-- The end of each chain, signed; its row lock orders the chain's events. An empty tenant_id: what belongs to no tenant.
create table audit_heads (
    tenant_id text primary key,
    sequence bigint not null,
    hash bytea not null,
    signed_at timestamptz not null,
    signature bytea not null
);
alter table audit_heads enable row level security, force row level security;
create policy tenant on audit_heads to ekiden_tenant using (tenant_id = ekiden_tenant()) with check (tenant_id = ekiden_tenant());
create policy provider on audit_heads to ekiden_provider using (true) with check (true);
grant select, insert, update on audit_heads to ekiden_tenant, ekiden_provider;
