-- Several CAs at once, so that one can follow another while relays work.
alter table certificate_authorities
    -- staged: trusted, issues nothing yet; issuing; retiring: trusted, issues no more; retired: trusted no more, its key destroyed.
    add column state text not null default 'issuing' check (state in ('staged', 'issuing', 'retiring', 'retired')),
    add column state_at timestamptz,
    -- Its key certified by the CA before it, for whoever trusts that one alone.
    add column cross_certificate bytea,
    alter column secret_name drop not null,
    add check (secret_name is not null or state = 'retired');
update certificate_authorities set state_at = created_at;
alter table certificate_authorities
    alter column state_at set not null,
    alter column state drop default;
create unique index certificate_authorities_staged on certificate_authorities (state) where state = 'staged';
create unique index certificate_authorities_issuing on certificate_authorities (state) where state = 'issuing';

-- The CAs and their states that a process works with: a step is taken when all have come that far.
alter table replicas add column authorities text not null default '';

alter table relays
    add column certificate_authority_id uuid references certificate_authorities,
    add column previous_certificate_authority_id uuid references certificate_authorities;
update relays set
    certificate_authority_id = (select max(certificate_authority_id::text)::uuid from certificate_authorities),
    previous_certificate_authority_id = case when previous_certificate_serial is not null
        then (select max(certificate_authority_id::text)::uuid from certificate_authorities) end;
alter table relays alter column certificate_authority_id set not null;
create index relays_by_authority on relays (certificate_authority_id);
create index relays_by_previous_authority on relays (previous_certificate_authority_id)
    where previous_certificate_authority_id is not null;
