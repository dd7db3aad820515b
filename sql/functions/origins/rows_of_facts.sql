-- The rows of a KPI view, computed from the facts of one origin only.
--
-- Invariant: each figure is what an installation over this origin alone would show, ranks and
-- medians included. It reads the facts as the last refresh left them (kpi_engine.query_over_facts),
-- and writes nothing. Facts without a column origen are an error: they would be of all origins.

CREATE OR REPLACE FUNCTION kpi_engine.rows_of_facts(p_relation regclass, p_origen text)
RETURNS SETOF jsonb
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- As in a refresh.
SET timezone = 'UTC'
SET jit = off
AS $rows_of_facts$
BEGIN
    RETURN QUERY EXECUTE kpi_engine.query_over_facts(
        p_relation, 'origen = $1', 'one origin'
    ) USING p_origen;
END;
$rows_of_facts$;

COMMENT ON FUNCTION kpi_engine.rows_of_facts(regclass, text) IS
'Rows, as objects, of a KPI view from the facts of one origin, of several. The cost follows the '
'facts of the origin. Internal to analytics.rows_of_origin() and '
'kpi_engine.kpi_rows().';

REVOKE ALL ON FUNCTION kpi_engine.rows_of_facts(regclass, text) FROM public;
