-- Tells whether a value of the history is a number, or NULL.
--
-- Invariant: a value that this accepts can be cast to numeric. A column may have had another type
-- when the value was published.
-- Bound when created, so that the planner puts it into the queries that use it.

CREATE OR REPLACE FUNCTION kpi_engine.is_figure(p_value jsonb)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN jsonb_typeof(p_value) IN ('number', 'null')
OR p_value IN ('"NaN"'::jsonb, '"Infinity"'::jsonb, '"-Infinity"'::jsonb);

COMMENT ON FUNCTION kpi_engine.is_figure(jsonb) IS
'Whether a value in the history of a KPI view is a number or NULL; NULL for a column that the row '
'does not have. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.is_figure(jsonb) FROM public;
