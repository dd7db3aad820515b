-- Reads a number in a row of the history.
--
-- Invariant: it does not fail. Where the column had another type when the row was published, it is
-- NULL.
-- Bound when created, so that the planner puts it into the queries that use it.

CREATE OR REPLACE FUNCTION kpi_engine.figure_of(p_contents jsonb, p_column text)
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN kpi_engine.is_figure(p_contents -> p_column) THEN (p_contents ->> p_column)::numeric
END;

COMMENT ON FUNCTION kpi_engine.figure_of(jsonb, text) IS
'The number in column p_column of p_contents, a row in the history of a KPI view; NULL for '
'anything else. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.figure_of(jsonb, text) FROM public;
