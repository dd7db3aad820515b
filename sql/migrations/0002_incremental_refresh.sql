-- The incremental refresh: what changed, the facts and totals derived from the source,
-- and the state of the engine.


-- -- what changed ----------------------------------------------------------------------------

-- No index, no constraint: nothing that a writer could wait for or fail at. Rows are
-- only ever inserted by writers and deleted by one session at a time. Space is reused, not
-- given back: truncating the file would make writers wait.
CREATE TABLE kpi_engine.change_log (
    entity text NOT NULL,
    key uuid
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 1000000,
    vacuum_truncate = off
);
COMMENT ON TABLE kpi_engine.change_log IS
'Keys of changed source rows, appended by the triggers of change capture in the writer''s own '
'transaction. Moved to kpi_engine.pending_changes every minute and by each refresh.';
COMMENT ON COLUMN kpi_engine.change_log.entity IS
'What key identifies: solicitud, oferta (whose request is looked up later), asesor, usuario, '
'historica, notificacion, auditoria; or everything, after a TRUNCATE.';
COMMENT ON COLUMN kpi_engine.change_log.key IS
'Id of the row; NULL for everything.';


CREATE TABLE kpi_engine.pending_changes (
    entity text NOT NULL CHECK (
        entity IN (
            'solicitud', 'asesor', 'usuario', 'historica', 'notificacion', 'auditoria',
            'everything'
        )
    ),
    key uuid NOT NULL,
    epoch bigint NOT NULL,
    is_applied boolean NOT NULL DEFAULT false,
    PRIMARY KEY (entity, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE kpi_engine.pending_changes IS
'What the next refresh recomputes: the change log without duplicates, offers resolved to '
'their requests.';
COMMENT ON COLUMN kpi_engine.pending_changes.entity IS
'What key identifies, as in kpi_engine.change_log.';
COMMENT ON COLUMN kpi_engine.pending_changes.key IS
'Id of the row; 00000000-… for everything.';
COMMENT ON COLUMN kpi_engine.pending_changes.epoch IS
'Rebuild during or after which it was last noted: a rebuild covers what is older than itself.';
COMMENT ON COLUMN kpi_engine.pending_changes.is_applied IS
'True where the active set has it already and only the unfinished rebuild still needs it.';


-- -- the derived tables ------------------------------------------------------------------------

-- Which there are, and what is in them, follows from the views recomputed_*, whose files declare
-- them (kpi_engine.declare_derived_table). Each comes in two sets, a and b. Everybody reads it
-- through a view without the suffix, which shows the active set; a rebuild fills the other one.

CREATE TABLE kpi_engine.derived_tables (
    table_name text PRIMARY KEY,
    upkeep text NOT NULL CHECK (upkeep IN ('key', 'difference', 'group')),
    key_columns text[] NOT NULL,
    value_columns text[] NOT NULL DEFAULT ARRAY[]::text[],
    reads text[] NOT NULL,
    depth integer NOT NULL,
    source_view text,
    entities jsonb,
    window_days integer[],
    extremes jsonb NOT NULL DEFAULT '{}',
    root_entities text[] NOT NULL,
    description text NOT NULL,
    changes text,
    statement text,
    active_set text NOT NULL DEFAULT 'a' CHECK (active_set IN ('a', 'b')),
    changed_version bigint NOT NULL DEFAULT 0,
    rules_checksum text,
    rebuilding_by text
);
COMMENT ON TABLE kpi_engine.derived_tables IS
'The tables that the KPI views are made of: how each is declared and kept, and the data version in '
'which it last changed. The view recomputed_<table_name> says what is in it.';
COMMENT ON COLUMN kpi_engine.derived_tables.table_name IS
'Name of the view over the active set; the sets have the suffixes _a and _b.';
COMMENT ON COLUMN kpi_engine.derived_tables.upkeep IS
'How it is kept: key (rows of changed keys are computed again from the source), difference (sums '
'and counts move by new minus old) or group (groups of changed rows are computed again).';
COMMENT ON COLUMN kpi_engine.derived_tables.key_columns IS 'Columns of its primary key.';
COMMENT ON COLUMN kpi_engine.derived_tables.value_columns IS 'Its other columns.';
COMMENT ON COLUMN kpi_engine.derived_tables.reads IS 'Derived tables that its definition reads.';
COMMENT ON COLUMN kpi_engine.derived_tables.depth IS
'0 where it is computed from the source; else one more than the tables that it reads.';
COMMENT ON COLUMN kpi_engine.derived_tables.source_view IS
'Kept by key: the src_ view whose id is the key.';
COMMENT ON COLUMN kpi_engine.derived_tables.entities IS
'Kept by key: entities of the change log, and the column that holds the id of each.';
COMMENT ON COLUMN kpi_engine.derived_tables.window_days IS
'Lengths of the windows, in local days up to engine_state.today, that decide which rows count.';
COMMENT ON COLUMN kpi_engine.derived_tables.extremes IS
'Kept by difference: columns that are no sums, and whether each is a min or a max.';
COMMENT ON COLUMN kpi_engine.derived_tables.root_entities IS
'Entities of the change log that it follows from, through other tables too.';
COMMENT ON COLUMN kpi_engine.derived_tables.description IS 'What it holds.';
COMMENT ON COLUMN kpi_engine.derived_tables.changes IS
'The WITH queries of that statement, generated by kpi_engine.changes_of().';
COMMENT ON COLUMN kpi_engine.derived_tables.statement IS
'The statement that a refresh runs; see analytics.derived_statements().';
COMMENT ON COLUMN kpi_engine.derived_tables.active_set IS 'Set that the view shows, a or b.';
COMMENT ON COLUMN kpi_engine.derived_tables.changed_version IS
'engine_state.data_version when its contents last changed.';
COMMENT ON COLUMN kpi_engine.derived_tables.rules_checksum IS
'Checksum of the code and source views that it was computed with.';
COMMENT ON COLUMN kpi_engine.derived_tables.rebuilding_by IS
'Checksum of the rules by which an unfinished rebuild fills its other set; NULL: none does.';

CREATE TABLE kpi_engine.derived_rules (
    table_name text NOT NULL,
    rule_name text NOT NULL,
    PRIMARY KEY (table_name, rule_name)
);
COMMENT ON TABLE kpi_engine.derived_rules IS
'Which objects decide what is in a derived table: everything that its definition refers to, '
'directly or not. make migrate reads it off the files.';
COMMENT ON COLUMN kpi_engine.derived_rules.table_name IS 'The derived table.';
COMMENT ON COLUMN kpi_engine.derived_rules.rule_name IS
'Name of the object in analytics.migration_ledger.';

CREATE TYPE kpi_engine.changed_keys AS (entity text, keys uuid []);
COMMENT ON TYPE kpi_engine.changed_keys IS
'Ids of changed rows of one entity of the change log, each once.';


-- -- the state of the engine ------------------------------------------------------------------

CREATE TABLE kpi_engine.engine_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    data_version bigint NOT NULL DEFAULT 0,
    time_zone text,
    today date,
    rebuild_reason text,
    epoch bigint NOT NULL DEFAULT 0,
    capture_signature text,
    audit_position integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE kpi_engine.engine_state IS 'One row: what the derived tables stand for.';
COMMENT ON COLUMN kpi_engine.engine_state.singleton IS 'Always true: there is one row.';
COMMENT ON COLUMN kpi_engine.engine_state.data_version IS
'Counts the refreshes that changed a derived table.';
COMMENT ON COLUMN kpi_engine.engine_state.time_zone IS
'Zone in which local days were computed; NULL before the first rebuild.';
COMMENT ON COLUMN kpi_engine.engine_state.today IS
'Local date with which all windows end.';
COMMENT ON COLUMN kpi_engine.engine_state.rebuild_reason IS
'Why the next refresh has to compute everything again; NULL where it has not.';
COMMENT ON COLUMN kpi_engine.engine_state.epoch IS 'Counts the rebuilds that were begun.';
COMMENT ON COLUMN kpi_engine.engine_state.capture_signature IS
'What the catalog showed of change capture when it was last known to be without a gap.';
COMMENT ON COLUMN kpi_engine.engine_state.audit_position IS
'How many parts of the rotation the self-audit has gone through.';

INSERT INTO kpi_engine.engine_state (rebuild_reason) VALUES ('it was never built');


CREATE TABLE kpi_engine.rebuild_batches (
    batch integer PRIMARY KEY,
    created_after timestamptz,
    created_until timestamptz,
    requests bigint NOT NULL,
    epoch bigint NOT NULL,
    time_zone text NOT NULL,
    rules_checksum text,
    capture_signature text,
    started_at timestamptz,
    finished_at timestamptz
);
COMMENT ON TABLE kpi_engine.rebuild_batches IS
'The unfinished rebuild: its batches of requests by created_at. Empty when there is none. '
'Read analytics.rebuild_progress.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.batch IS 'Number of the batch, from 1.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.created_after IS
'created_at is later than this; NULL for the first batch, which also takes requests without one.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.created_until IS
'created_at is this or earlier; NULL for the last batch.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.requests IS
'Requests in it: counted when it was planned, then as computed.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.epoch IS 'The rebuild it belongs to.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.time_zone IS 'Zone it is computed in.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.rules_checksum IS 'Rules it is computed by.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.capture_signature IS
'What the catalog showed of change capture when the rebuild was begun.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.started_at IS 'By the wall clock.';
COMMENT ON COLUMN kpi_engine.rebuild_batches.finished_at IS 'By the wall clock.';


CREATE TABLE kpi_engine.audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    audited_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    table_name text NOT NULL,
    local_day date,
    column_name text NOT NULL,
    cells bigint NOT NULL,
    is_healed boolean NOT NULL
);
COMMENT ON TABLE kpi_engine.audit_log IS
'Differences that the self-audit found between the derived tables and the source. Empty is well.';
COMMENT ON COLUMN kpi_engine.audit_log.audit_id IS 'Order of writing.';
COMMENT ON COLUMN kpi_engine.audit_log.audited_at IS 'When it was found, by the wall clock.';
COMMENT ON COLUMN kpi_engine.audit_log.table_name IS 'Derived table.';
COMMENT ON COLUMN kpi_engine.audit_log.local_day IS
'Local day of the facts, or first day of the month; NULL for advisors.';
COMMENT ON COLUMN kpi_engine.audit_log.column_name IS
'Column that differed; row: a row too many or too few.';
COMMENT ON COLUMN kpi_engine.audit_log.cells IS 'How many cells of that day and column differed.';
COMMENT ON COLUMN kpi_engine.audit_log.is_healed IS 'Whether they were set right.';


-- -- the refresh log and the views' state say more ---------------------------------------------

ALTER TABLE kpi_engine.refresh_log
DROP CONSTRAINT refresh_log_mode_check,
ADD CONSTRAINT refresh_log_mode_check CHECK (
    mode IN ('full', 'incremental', 'unchanged', 'none')
),
ADD COLUMN reason text,
ADD COLUMN requests_recomputed bigint,
ADD COLUMN data_version bigint;
COMMENT ON COLUMN kpi_engine.refresh_log.mode IS
'full: everything was computed again from the source; incremental: only what had changed; '
'unchanged: there was nothing to publish; none: it failed.';
COMMENT ON COLUMN kpi_engine.refresh_log.reason IS 'Why that mode was taken.';
COMMENT ON COLUMN kpi_engine.refresh_log.requests_recomputed IS
'Requests that the run computed from the source; NULL in the rows of views.';
COMMENT ON COLUMN kpi_engine.refresh_log.data_version IS
'engine_state.data_version after the run, or that the view shows.';

ALTER TABLE kpi_engine.view_state
ADD COLUMN published_version bigint;
COMMENT ON COLUMN kpi_engine.view_state.published_version IS
'engine_state.data_version that the contents show; NULL before the first refresh.';
