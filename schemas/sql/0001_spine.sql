-- The spine: tenants' connections and mappings, receipts, cursors, the outbox and its lanes.
-- Expand, then contract: a later file adds; what nothing reads any more goes in the one after.

-- People and what they connected -------------------------------------------------------------------------------------

create table user_profiles (
    tenant_id  uuid not null,
    id         uuid not null default uuidv7(),
    name       text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);

create table integration_connections (
    tenant_id   uuid not null,
    id          uuid not null default uuidv7(),
    profile_id  uuid not null,
    provider    text not null,
    account     text not null,
    lane        smallint not null check (lane between 0 and 255),
    status      text not null default 'active' check (status in ('active', 'needs_reauthorization')),
    detail      text,
    credentials bytea not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, provider, account),
    foreign key (tenant_id, profile_id) references user_profiles (tenant_id, id)
);
comment on column integration_connections.credentials is 'Sealed by the vault, bound to this row.';
create index integration_connections_account on integration_connections (provider, account);

create table integration_settings (
    tenant_id     uuid not null,
    id            uuid not null default uuidv7(),
    profile_id    uuid not null,
    connection_id uuid not null,
    settings      jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, connection_id),
    foreign key (tenant_id, profile_id) references user_profiles (tenant_id, id),
    foreign key (tenant_id, connection_id) references integration_connections (tenant_id, id) on delete cascade
);

create table webhook_subscriptions (
    tenant_id     uuid not null,
    id            uuid not null default uuidv7(),
    profile_id    uuid not null,
    connection_id uuid not null,
    provider      text not null,
    resource      text not null,
    external_id   text,
    status        text not null default 'pending' check (status in ('pending', 'active', 'stopped', 'failed')),
    details       jsonb not null default '{}' check (jsonb_typeof(details) = 'object'),
    expires_at    timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, profile_id) references user_profiles (tenant_id, id),
    foreign key (tenant_id, connection_id) references integration_connections (tenant_id, id) on delete cascade
);
comment on column webhook_subscriptions.id is 'Stands in the channel token that is derived for it.';

-- What each item was when the provider and we last agreed ------------------------------------------------------------

create table integration_data_mapping (
    tenant_id     uuid not null,
    item_id       uuid not null,
    profile_id    uuid not null,
    connection_id uuid not null,
    cursor_id     uuid not null,
    kind          text not null,
    external_id   text not null,
    version       bigint not null check (version > 0),
    snapshot      jsonb not null check (jsonb_typeof(snapshot) = 'object'),
    deleted       boolean not null default false,
    seen_in       uuid,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    primary key (tenant_id, item_id),
    foreign key (tenant_id, profile_id) references user_profiles (tenant_id, id),
    foreign key (tenant_id, connection_id) references integration_connections (tenant_id, id)
) with (fillfactor = 80);
comment on column integration_data_mapping.seen_in is 'The last full read that showed it; what the newest one did not show is gone.';
create index integration_data_mapping_cursor on integration_data_mapping (cursor_id, item_id) where not deleted;

create table sync_history (
    recorded_at   timestamptz not null,
    id            uuid not null default uuidv7(),
    tenant_id     uuid not null,
    profile_id    uuid not null,
    connection_id uuid not null,
    run_id        uuid not null,
    item_id       uuid not null,
    kind          text not null,
    external_id   text not null,
    action        text not null check (action in ('created', 'updated', 'deleted')),
    version       bigint not null,
    prev_version  bigint,
    changed       jsonb not null check (jsonb_typeof(changed) = 'array'),
    found_by      text not null check (found_by in ('push', 'poll', 'full')),
    causation_id  text not null,
    primary key (recorded_at, id),
    foreign key (tenant_id, profile_id) references user_profiles (tenant_id, id)
) partition by range (recorded_at);
create index sync_history_connection on sync_history (tenant_id, connection_id, recorded_at desc);

-- In: what was accepted and how far each partition is handled --------------------------------------------------------

create table receipts (
    accepted_at   timestamptz not null default now(),
    topic         text not null,
    partition     integer not null,
    "offset"      bigint not null,
    match         smallint not null default 0,
    delivery_id   text not null,
    provider      text not null,
    event         text not null,
    account       text not null,
    received_at   timestamptz,
    outcome       text not null check (outcome in ('wanted', 'unmatched', 'parked')),
    reason        text,
    tenant_id     uuid,
    connection_id uuid,
    cursor_id     uuid,
    wanted        bigint,
    primary key (accepted_at, topic, partition, "offset", match)
) partition by range (accepted_at);
comment on column receipts.match is 'Counts the connections that one delivery is for; an unmatched one has a single row.';
comment on column receipts.wanted is 'The cursor''s counter after this delivery: the run that sets done to it or beyond has seen it.';
create index receipts_delivery on receipts (delivery_id);

create table consumer_offsets (
    consumer    text not null,
    topic       text not null,
    partition   integer not null,
    epoch       bigint not null,
    owner       text not null,
    next_offset bigint,
    updated_at  timestamptz not null default now(),
    primary key (consumer, topic, partition)
) with (fillfactor = 50);

create table delivery_failures (
    consumer  text not null,
    topic     text not null,
    partition integer not null,
    "offset"  bigint not null,
    attempts  integer not null,
    error     text not null,
    failed_at timestamptz not null default now(),
    primary key (consumer, topic, partition, "offset")
);
comment on table delivery_failures is 'Counts the failures of a single delivery, so that the third parks it whichever process meets it.';

create table parked (
    parked_at     timestamptz not null default now(),
    id            uuid not null default uuidv7(),
    tenant_id     uuid,
    connection_id uuid,
    provider      text not null,
    reason        text not null check (reason in ('undecodable', 'bug', 'item_malformed')),
    detail        text not null,
    source        text not null,
    sealed        bytea not null,
    primary key (parked_at, id)
) partition by range (parked_at);
comment on column parked.source is 'Where it came from: topic/partition/offset, or connection/run/kind/external id.';
comment on column parked.sealed is 'What was parked, sealed by the vault and bound to its source.';

-- Sync: one cursor per connection and resource -----------------------------------------------------------------------

create table sync_cursors (
    id            uuid primary key default uuidv7(),
    tenant_id     uuid not null,
    connection_id uuid not null,
    resource      text not null,
    position      text,
    full_run      uuid,
    wanted        bigint not null default 0,
    done          bigint not null default 0,
    due_at        timestamptz not null default now(),
    not_before    timestamptz not null default '-infinity',
    last_start    timestamptz not null default '-infinity',
    last_done     timestamptz,
    cause         text,
    attempts      integer not null default 0,
    last_error    text,
    owner         text,
    epoch         bigint not null default 0,
    leased_until  timestamptz not null default '-infinity',
    unique (tenant_id, connection_id, resource),
    foreign key (tenant_id, connection_id) references integration_connections (tenant_id, id) on delete cascade
) with (fillfactor = 50);
comment on column sync_cursors.not_before is 'A push never makes a cursor due before this: a provider asked us to wait, or a person has to act.';
create index sync_cursors_due on sync_cursors (due_at);

alter table integration_data_mapping add foreign key (cursor_id) references sync_cursors (id);

-- Out: the outbox, its lanes and what was published where ------------------------------------------------------------

create table outbox (
    recorded_at   timestamptz not null,
    lane          smallint not null,
    seq           bigint not null,
    kind          text not null,
    tenant_id     uuid not null,
    connection_id uuid not null,
    item_id       uuid not null,
    version       bigint not null,
    run_id        uuid not null,
    headers       bytea not null,
    value         bytea not null,
    primary key (lane, seq, recorded_at)
) partition by range (recorded_at);
create index outbox_item on outbox (item_id, version);

create table outbox_lanes (
    lane         smallint primary key check (lane between 0 and 255),
    head         bigint not null default 0,
    published    bigint not null default 0,
    owner        text,
    epoch        bigint not null default 0,
    leased_until timestamptz not null default '-infinity',
    check (published <= head)
) with (fillfactor = 20);
insert into outbox_lanes (lane) select generate_series(0, 255);

create table outbox_relays (
    owner      text primary key,
    seen_until timestamptz not null
);
comment on table outbox_relays is 'The relays that are alive, so that each takes its share of the lanes.';

create table outbox_published (
    published_at timestamptz not null default now(),
    lane         smallint not null,
    first_seq    bigint not null,
    last_seq     bigint not null,
    kind         text not null,
    topic        text not null,
    partition    integer not null,
    first_offset bigint not null,
    primary key (lane, last_seq, kind, published_at)
) partition by range (published_at);
comment on table outbox_published is 'Where each acknowledged batch stands in its topic. A batch of a lane holds only rows of one kind, in seq order.';
