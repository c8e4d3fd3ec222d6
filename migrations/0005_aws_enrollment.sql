-- Enrollment by AWS identity: which roles may join which fleets, and which proofs were used.

create table enrollment_rules (
    tenant_id resource_id not null,
    fleet_id resource_id not null,
    enrollment_rule_id resource_id not null,
    display_name text not null check (char_length(display_name) <= 200),
    aws_account_id text not null check (aws_account_id ~ '^[0-9]{12}$'),
    aws_role_arn text not null check (char_length(aws_role_arn) <= 2048),
    aws_token_issuer text not null default '' check (char_length(aws_token_issuer) <= 255),
    shared_account boolean not null,
    created_at timestamptz not null,
    primary key (tenant_id, fleet_id, enrollment_rule_id),
    unique (tenant_id, fleet_id, aws_role_arn),
    foreign key (tenant_id, fleet_id) references fleets on delete cascade
);
create index enrollment_rules_by_account on enrollment_rules (aws_account_id);
alter table enrollment_rules enable row level security, force row level security;
create policy tenant on enrollment_rules to ekiden_tenant using (tenant_id = ekiden_tenant()) with check (tenant_id = ekiden_tenant());
create policy provider on enrollment_rules to ekiden_provider using (true) with check (true);
grant select, insert, delete on enrollment_rules to ekiden_tenant, ekiden_provider;

-- Nonces and token ids that have served; each serves once.
create table used_proofs (
    digest bytea primary key check (octet_length(digest) = 32),
    expires_at timestamptz not null
);
create index used_proofs_by_end on used_proofs (expires_at);
grant select, insert, update, delete on used_proofs to ekiden_tenant, ekiden_provider;

alter table relays
    add column enrollment_rule_id text,
    add column aws_role_arn text not null default '';
create index relays_by_rule on relays (tenant_id, fleet_id, enrollment_rule_id);
