-- Tenants are kept apart by Postgres itself: every transaction takes one of two roles, neither of which passes by row-level security.
--
-- ekiden_tenant sees the rows of the tenant that the transaction names, ekiden_provider those of all, ekiden_nobody, a fresh
-- connection's role, nothing. Who serves logs in as a member of the three and owns nothing that way.

do $$
declare
    name text;
begin
    foreach name in array array['ekiden_nobody', 'ekiden_tenant', 'ekiden_provider'] loop
        if not exists (select from pg_roles where rolname = name) then
            begin
                execute format('create role %I nologin nosuperuser nocreatedb nocreaterole noinherit nobypassrls', name);
            exception when duplicate_object or unique_violation then
                -- Another database of this server was migrated at the same moment.
            end;
        end if;
        if not pg_has_role(current_user, name, 'member') then
            execute format('grant %I to current_user', name);
        end if;
    end loop;
    execute format('grant usage on schema %I to ekiden_tenant, ekiden_provider', current_schema());
end $$;

-- The tenant of this transaction; null, and so equal to none, outside of one.
create function ekiden_tenant() returns text language sql stable parallel safe
    return nullif(current_setting('ekiden.tenant', true), '');

do $$
declare
    name text;
begin
    foreach name in array array[
        'tenants', 'access_keys', 'access_key_versions', 'collectors', 'fleets', 'fleet_collectors', 'revisions', 'heads',
        'enrollment_tokens', 'relays', 'relay_rejections', 'relay_health', 'relay_health_history', 'audit_events'
    ] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format(
            'create policy tenant on %I to ekiden_tenant using (tenant_id = ekiden_tenant()) with check (tenant_id = ekiden_tenant())',
            name);
        execute format('create policy provider on %I to ekiden_provider using (true) with check (true)', name);
    end loop;
    -- A token's tenant says what it may see, not whose it is: operators alone make and end them.
    alter table api_tokens enable row level security, force row level security;
    create policy provider on api_tokens to ekiden_provider using (true) with check (true);
    -- Partitions are read through their parent alone.
    for name in select inhrelid::regclass::text from pg_inherits where inhparent = 'relay_health_history'::regclass loop
        execute format('alter table %s enable row level security, force row level security', name);
    end loop;
end $$;

grant select, insert, update, delete on
    access_keys, access_key_versions, collectors, fleets, fleet_collectors, heads, enrollment_tokens, relays, relay_rejections,
    relay_health, idempotent_requests
    to ekiden_tenant, ekiden_provider;
-- What happened stays as it was written.
grant select, insert on revisions, audit_events, relay_health_history to ekiden_tenant, ekiden_provider;
grant select on replicas to ekiden_tenant;
grant select on tenants to ekiden_tenant;
-- Only so that a tenant's row can be locked.
grant update (updated_at) on tenants to ekiden_tenant;
grant select, insert, update, delete on tenants, api_tokens, replicas, server_secrets, certificate_authorities to ekiden_provider;

-- A relay's token is of the relay's own tenant.
alter table enrollment_tokens add unique (tenant_id, enrollment_token_id);
alter table relays
    drop constraint relays_enrollment_token_id_fkey,
    add foreign key (tenant_id, enrollment_token_id) references enrollment_tokens (tenant_id, enrollment_token_id)
        on delete set null (enrollment_token_id);
