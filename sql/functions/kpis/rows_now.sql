-- The rows of a KPI view at this moment, without a refresh.
--
-- Invariant: equal to what the view shows after a refresh at this moment.
-- SECURITY DEFINER: readers get the rows of a view that they may read, never a source table.

CREATE OR REPLACE FUNCTION analytics.rows_now(p_view_name text)
RETURNS SETOF jsonb
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $rows_now$
BEGIN
    PERFORM kpi_engine.require_readable_view(p_view_name);
    RETURN QUERY
        SELECT *
        FROM kpi_engine.rows_of_relation_now(format('analytics.%I', p_view_name)::regclass);
END;
$rows_now$;

COMMENT ON FUNCTION analytics.rows_now(text) IS
'Rows of a KPI view, as objects, as a refresh at this moment would make them. The cost follows '
'the changes since the last refresh. Errors: 22023 if there is no such view, 42501 if the caller '
'may not read it. jsonb_populate_record(NULL::analytics.mv_metricas_mensuales, object) makes a '
'row of an object.';

REVOKE ALL ON FUNCTION analytics.rows_now(text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.rows_now(text) TO analytics_lector, analytics_operador;
