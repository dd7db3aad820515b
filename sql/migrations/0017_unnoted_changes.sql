-- Changes of source tables that could be noted in no table: the disk was full, or no lock free.

-- A sequence needs no room for another row, no lock of a subtransaction and no commit.
CREATE SEQUENCE kpi_engine.unnoted_changes MINVALUE 0;
COMMENT ON SEQUENCE kpi_engine.unnoted_changes IS
'Moves when a change of a source table could be noted neither in kpi_engine.change_log nor in '
'kpi_engine.lost_changes (kpi_engine.note_lost_change). Rolls back with nobody.';
ALTER TABLE kpi_engine.engine_state ADD COLUMN unnoted_seen bigint NOT NULL DEFAULT 0;
ALTER TABLE kpi_engine.engine_state ADD COLUMN unnoted_until xid8;
COMMENT ON COLUMN kpi_engine.engine_state.unnoted_seen IS
'Value of the sequence kpi_engine.unnoted_changes for which everything is or was computed again.';
COMMENT ON COLUMN kpi_engine.engine_state.unnoted_until IS
'Everything is computed again until all transactions before this one have ended: one of them moved '
'the sequence. NULL: all have.';
SELECT setval('kpi_engine.unnoted_changes', 0);
