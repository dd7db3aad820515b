-- Whether the figures may show a part of what came during the last refresh.

ALTER TABLE kpi_engine.engine_state ADD COLUMN is_half_seen boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN kpi_engine.engine_state.is_half_seen IS
'Whether the last refresh gave up to follow rows that changed faster than it computed them: the '
'figures may show a part of a transaction. Health says drift until a refresh has seen all of it.';

-- By which columns the history of a view knows its rows.

ALTER TABLE kpi_engine.published_layouts ADD COLUMN key_columns text[];
COMMENT ON COLUMN kpi_engine.published_layouts.key_columns IS
'The columns of row_key in kpi_engine.published_rows, in their order; NULL: a version before 0.1.6 '
'noted it.';
