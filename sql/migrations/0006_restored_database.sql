-- A database that was restored from a dump goes on without computing everything again.

ALTER TABLE kpi_engine.engine_state ADD COLUMN database_identity text;
COMMENT ON COLUMN kpi_engine.engine_state.database_identity IS
'The database in which capture_signature was taken (kpi_engine.database_identity()); NULL: not '
'known yet.';
