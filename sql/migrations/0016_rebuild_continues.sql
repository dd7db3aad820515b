-- What an unfinished rebuild has to know to be continued: when it was planned, and which reasons
-- for a rebuild it covers.

ALTER TABLE kpi_engine.engine_state ADD COLUMN reasons_noted bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN kpi_engine.engine_state.reasons_noted IS
'Counts how often a rebuild_reason was noted, also while another one waited.';

ALTER TABLE kpi_engine.rebuild_batches ADD COLUMN reasons_noted bigint;
COMMENT ON COLUMN kpi_engine.rebuild_batches.reasons_noted IS
'engine_state.reasons_noted when the rebuild was planned: it covers no later reason. NULL: not '
'known, so it is not continued.';

ALTER TABLE kpi_engine.rebuild_batches ADD COLUMN planned_at timestamptz;
COMMENT ON COLUMN kpi_engine.rebuild_batches.planned_at IS
'When the rebuild was planned, by the wall clock; no batch has read the source before.';
