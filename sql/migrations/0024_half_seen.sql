-- Whether the figures may show a part of what came during the last refresh.

ALTER TABLE kpi_engine.engine_state ADD COLUMN is_half_seen boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN kpi_engine.engine_state.is_half_seen IS
'Whether the last refresh gave up to follow rows that changed faster than it computed them: the '
'figures may show a part of a transaction. Health says drift until a refresh has seen all of it.';
