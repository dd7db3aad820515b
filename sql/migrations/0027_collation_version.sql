-- By which version of the collation the keys of the derived tables were upper-cased.

ALTER TABLE kpi_engine.engine_state ADD COLUMN collation_version text;
COMMENT ON COLUMN kpi_engine.engine_state.collation_version IS
'Version of the default collation at the last look, none if it has no version '
'(kpi_engine.collation_version()); NULL: not known yet.';
