-- Rules that admit a role in every account of an AWS organization, or of a part of it.
alter table enrollment_rules
    -- `o-…`; empty: the role's own account alone.
    add column aws_organization_id text not null default '' check (char_length(aws_organization_id) <= 68),
    -- `o-…/r-…/ou-…`; empty: the whole organization.
    add column aws_organization_path text not null default '' check (char_length(aws_organization_path) <= 2048),
    drop constraint enrollment_rules_aws_account_id_check,
    add check (aws_account_id ~ '^[0-9]{12}$' or (aws_account_id = '' and aws_organization_id <> '')),
    drop constraint enrollment_rules_tenant_id_fleet_id_aws_role_arn_key,
    add unique (tenant_id, fleet_id, aws_role_arn, aws_organization_id, aws_organization_path);
create index enrollment_rules_by_organization on enrollment_rules (aws_organization_id) where aws_organization_id <> '';
