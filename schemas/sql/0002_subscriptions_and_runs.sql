-- A provider may have many resources, found while reading, each with its own cursor and its own subscription.
-- Runs leave a row each, so that one delivery can be followed to what it brought about.

-- Cursors: of resources that come and go -----------------------------------------------------------------------------

alter table sync_cursors add column provider text;
update sync_cursors s set provider = c.provider from integration_connections c
where c.tenant_id = s.tenant_id and c.id = s.connection_id;
alter table sync_cursors alter column provider set not null;
comment on column sync_cursors.provider is 'Its connection''s: due cursors are claimed for each provider apart.';
drop index sync_cursors_due;
create index sync_cursors_due on sync_cursors (provider, due_at);
alter table sync_cursors add column closed boolean not null default false;
alter table sync_cursors add column trace text;
comment on column sync_cursors.closed is 'The resource exists no more: what it held is deleted, and it is read no more until it is back.';
comment on column sync_cursors.trace is 'The trace context of the push named by cause.';

-- Mappings: items that are parts of others -----------------------------------------------------------------------------

alter table integration_data_mapping add column part_of uuid;
comment on column integration_data_mapping.part_of is 'The item without which this one cannot be: deleted with it.';
create index integration_data_mapping_part on integration_data_mapping (tenant_id, part_of)
    where part_of is not null and not deleted;

-- Subscriptions: leased like cursors -----------------------------------------------------------------------------------

alter table webhook_subscriptions drop constraint webhook_subscriptions_status_check;
alter table webhook_subscriptions add constraint webhook_subscriptions_status_check
    check (status in ('pending', 'active', 'unwatchable', 'stopping', 'stopped', 'failed'));
alter table webhook_subscriptions add column due_at timestamptz not null default now();
alter table webhook_subscriptions add column attempts integer not null default 0;
alter table webhook_subscriptions add column last_error text;
alter table webhook_subscriptions add column heard_at timestamptz;
alter table webhook_subscriptions add column message bigint;
alter table webhook_subscriptions add column owner text;
alter table webhook_subscriptions add column epoch bigint not null default 0;
alter table webhook_subscriptions add column leased_until timestamptz not null default '-infinity';
comment on column webhook_subscriptions.status is
    'pending: to be made; active; unwatchable: the provider announces nothing of this resource; stopping: to be ended; stopped; failed: a person has to act.';
comment on column webhook_subscriptions.external_id is 'The provider''s name for what is watched; unknown until the provider has answered or pushed.';
comment on column webhook_subscriptions.message is 'The highest message number heard on it.';
create unique index webhook_subscriptions_id on webhook_subscriptions (id);
create index webhook_subscriptions_resource on webhook_subscriptions (tenant_id, connection_id, resource);
create index webhook_subscriptions_due on webhook_subscriptions (provider, due_at) where status in ('pending', 'stopping');
create index webhook_subscriptions_expiry on webhook_subscriptions (expires_at) where status = 'active';

-- Receipts: through which subscription -------------------------------------------------------------------------------

alter table receipts drop constraint receipts_outcome_check;
alter table receipts add constraint receipts_outcome_check check (outcome in ('wanted', 'unmatched', 'stale', 'parked'));
alter table receipts add column subscription_id uuid;
alter table receipts add column message bigint;
alter table receipts add column trace text;
comment on column receipts.trace is 'The trace context of the request.';

-- Runs: how each ended -------------------------------------------------------------------------------------------------

create table sync_runs (
    ended_at      timestamptz not null default clock_timestamp(),
    run_id        uuid not null,
    tenant_id     uuid not null,
    connection_id uuid not null,
    cursor_id     uuid not null,
    resource      text not null,
    started_at    timestamptz not null,
    outcome       text not null check (outcome in ('done', 'retried', 'halted', 'closed')),
    detail        text,
    found_by      text not null check (found_by in ('push', 'poll', 'full')),
    causation_id  text not null,
    wanted        bigint not null,
    created       integer not null,
    updated       integer not null,
    deleted       integer not null,
    rejected      integer not null,
    primary key (ended_at, run_id)
) partition by range (ended_at);
comment on column sync_runs.wanted is 'The cursor''s counter when the run began: it has seen every delivery whose receipt has this number or a lower one.';
create index sync_runs_run on sync_runs (run_id);
create index sync_runs_cursor on sync_runs (cursor_id, ended_at);
create index sync_runs_causation on sync_runs (causation_id);
