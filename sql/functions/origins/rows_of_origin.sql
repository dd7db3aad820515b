-- The rows of a KPI view for one origin alone.
--
-- Invariant: as the last refresh left the facts. So after a refresh of all views they belong
-- together with the rows of the view itself. While the gate holds the view, it is an error: the
-- facts are those that the gate refused.
-- SECURITY DEFINER: readers get the rows of a view that they may read, never a fact.

CREATE OR REPLACE FUNCTION analytics.rows_of_origin(p_view_name text, p_origen text)
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
AS $rows_of_origin$
DECLARE
    v_problem text;
BEGIN
    PERFORM kpi_engine.require_readable_view(p_view_name);
    v_problem := kpi_engine.unknown_origin(p_origen);
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION 'there is no origin %', coalesce(p_origen, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = v_problem;
    ELSIF kpi_engine.facts_are_ahead(p_view_name) THEN
        RAISE EXCEPTION 'view % was not published with the facts and rules of now', p_view_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'The gate holds it, its refresh failed, or an upgrade changed its '
                           'rules. So its rows of one origin would not fit what it shows.',
                  HINT = 'SELECT problem, message FROM analytics.health_problems();';
    END IF;
    RETURN QUERY
        SELECT *
        FROM kpi_engine.rows_of_facts(
            format('analytics.%I', p_view_name)::regclass, p_origen
        );
END;
$rows_of_origin$;

COMMENT ON FUNCTION analytics.rows_of_origin(text, text) IS
'Rows of a KPI view, as objects, for one of several origins alone, as an installation over its '
'tables would show them after the last refresh here. The cost follows the facts of the origin. '
'Errors: 22023 if there is no such view or origin, 42501 if the caller may not read the view, '
'55000 while the gate holds the view, after a failed refresh, and between an upgrade that changed '
'its rules and the next refresh.';

REVOKE ALL ON FUNCTION analytics.rows_of_origin(text, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.rows_of_origin(text, text)
TO analytics_lector, analytics_operador;
