-- Since when a column has a target, however often its value changed.

ALTER TABLE kpi_engine.targets ADD COLUMN first_set_at timestamptz;
UPDATE kpi_engine.targets SET first_set_at = set_at;
COMMENT ON COLUMN kpi_engine.targets.first_set_at IS
'When it was first set (analytics.now()). Periods that were closed by then get no result, unless '
'the column had another target for them before.';
COMMENT ON COLUMN kpi_engine.targets.set_at IS
'When its value or direction was set (analytics.now()).';
