-- Master keys that a process can open values with. Nobody seals under a key that another process does not hold.
alter table replicas add column master_keys text[] not null default '{}';
