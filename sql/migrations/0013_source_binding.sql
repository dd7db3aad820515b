-- What the src_ views and the triggers are bound to, by identity: names can move.

ALTER TABLE kpi_engine.engine_state ADD COLUMN source_binding jsonb;
COMMENT ON COLUMN kpi_engine.engine_state.source_binding IS
'What each src_ view was bound to (kpi_engine.source_now()): table, kind, row version of its rule, '
'and for each column its number and type; NULL before the first migrate.';
ALTER TABLE kpi_engine.engine_state ADD COLUMN source_values jsonb;
COMMENT ON COLUMN kpi_engine.engine_state.source_values IS
'The values of the enum types, and the expressions of generated columns, that the derived tables '
'were computed with (kpi_engine.source_now()).';

-- By table now, so that a partition that comes or goes can be told from a lost trigger.
ALTER TABLE kpi_engine.engine_state ALTER COLUMN capture_signature TYPE jsonb USING NULL;
ALTER TABLE kpi_engine.rebuild_batches ALTER COLUMN capture_signature TYPE jsonb USING NULL;
COMMENT ON COLUMN kpi_engine.engine_state.capture_signature IS
'What the catalog showed of change capture when it was last known to be without a gap, by table '
'(kpi_engine.capture_signature()).';

ALTER TABLE kpi_engine.engine_state ADD COLUMN watched_relations oid[];
ALTER TABLE kpi_engine.engine_state ADD COLUMN catalog_fingerprint text;
COMMENT ON COLUMN kpi_engine.engine_state.watched_relations IS
'Source tables, their partitions and the src_ views, when they were last found to be in order.';
COMMENT ON COLUMN kpi_engine.engine_state.catalog_fingerprint IS
'kpi_engine.catalog_fingerprint() of these then: while it is the same, nothing has to be looked at '
'again. NULL: it has to be.';
