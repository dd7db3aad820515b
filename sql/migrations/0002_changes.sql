-- What changed in the source, and what could not be noted or counted.


-- No index, no constraint: nothing that a writer could wait for or fail at. Writers only insert
-- rows; one session at a time deletes them. Space is used again, not given back: truncating the
-- file would make writers wait.
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
-- Neighbours in the same database: publications, dumps.
-- A table in a publication (FOR ALL TABLES, FOR TABLES IN SCHEMA) refuses UPDATE and DELETE unless
-- its rows can be told apart. These have no key, on purpose: an index would cost the writers. With
-- wal_level below logical this changes nothing in what is written.
ALTER TABLE kpi_engine.change_log REPLICA IDENTITY FULL;
COMMENT ON TABLE kpi_engine.change_log IS
'Keys of changed source rows, appended by the triggers of change capture in the writer''s own '
'transaction. Moved to kpi_engine.pending_changes every minute and by each refresh.';
COMMENT ON COLUMN kpi_engine.change_log.entity IS
'What key identifies: solicitud, oferta (whose request is looked up later), asesor, usuario, '
'historica, notificacion, auditoria; or everything, after a TRUNCATE.';
COMMENT ON COLUMN kpi_engine.change_log.key IS 'Id of the row; NULL for everything.';


-- As kpi_engine.change_log: nothing that a writer could wait for or fail at.
CREATE TABLE kpi_engine.lost_changes (
    relation text NOT NULL,
    message text,
    sqlstate text,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (vacuum_truncate = off);
ALTER TABLE kpi_engine.lost_changes REPLICA IDENTITY FULL;
COMMENT ON TABLE kpi_engine.lost_changes IS
'Transactions of writers whose changes could not be noted by key in kpi_engine.change_log, since '
'a source table, the log or a right was changed. The next refresh computes everything again and '
'takes these rows.';
COMMENT ON COLUMN kpi_engine.lost_changes.relation IS 'Source table that was written to first.';
COMMENT ON COLUMN kpi_engine.lost_changes.message IS 'What failed in the trigger.';
COMMENT ON COLUMN kpi_engine.lost_changes.sqlstate IS 'Its SQLSTATE; NULL where nothing failed.';
COMMENT ON COLUMN kpi_engine.lost_changes.noted_at IS 'When, by the wall clock.';


-- Changes that could be noted in no table: the disk was full, or no lock free. A sequence needs no
-- room for another row, no lock of a subtransaction and no commit.
CREATE SEQUENCE kpi_engine.unnoted_changes MINVALUE 0;
COMMENT ON SEQUENCE kpi_engine.unnoted_changes IS
'Moves when a change of a source table could be noted neither in kpi_engine.change_log nor in '
'kpi_engine.lost_changes (kpi_engine.note_lost_change). Rolls back with nobody.';
-- The next value is another one than the last.
SELECT setval('kpi_engine.unnoted_changes', 0);


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
COMMENT ON COLUMN kpi_engine.pending_changes.key IS 'Id of the row; 00000000-… for everything.';
COMMENT ON COLUMN kpi_engine.pending_changes.epoch IS
'Rebuild during or after which it was last noted: a rebuild covers what is older than itself.';
COMMENT ON COLUMN kpi_engine.pending_changes.is_applied IS
'True where the active set has it already and only the unfinished rebuild still needs it.';

CREATE TYPE kpi_engine.changed_keys AS (entity text, keys uuid []);
COMMENT ON TYPE kpi_engine.changed_keys IS
'Ids of changed rows of one entity of the change log, each once.';


CREATE TABLE kpi_engine.uncountable_rows (
    table_name text,
    row_id uuid,
    column_names text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (table_name, row_id)
);
COMMENT ON TABLE kpi_engine.uncountable_rows IS
'Rows of the operational tables with values that can''t be counted: out of range, or texts that '
'are too long. The values count as NULL or cut; what else the row holds counts.';
COMMENT ON COLUMN kpi_engine.uncountable_rows.table_name IS 'Operational table.';
COMMENT ON COLUMN kpi_engine.uncountable_rows.row_id IS 'Id of the row.';
COMMENT ON COLUMN kpi_engine.uncountable_rows.column_names IS 'Which columns, by commas.';
COMMENT ON COLUMN kpi_engine.uncountable_rows.seen_at IS 'When it was first found so.';
