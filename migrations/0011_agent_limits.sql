-- What the vendor grants with a key, for operators to see: agents at most, and agents that are reserved for it; 0: none.
alter table access_keys
    add column agent_limit integer not null default 0 check (agent_limit between 0 and 1000000),
    add column agent_reservation integer not null default 0 check (agent_reservation between 0 and 1000000);
