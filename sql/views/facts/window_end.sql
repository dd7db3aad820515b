-- The day with which all windows end, for the definitions of derived tables.
--
-- Invariant: the engine replaces it where rows are counted as they were for an earlier day.

CREATE OR REPLACE VIEW kpi_engine.window_end AS
SELECT engine_state.today
FROM kpi_engine.engine_state;

COMMENT ON VIEW kpi_engine.window_end IS
'One row: the local day with which all windows end. A derived table whose window is the 30 days up '
'to it counts rows whose local_day is BETWEEN window_end.today - 29 AND window_end.today.';
COMMENT ON COLUMN kpi_engine.window_end.today IS 'engine_state.today.';

REVOKE ALL ON kpi_engine.window_end FROM public;
