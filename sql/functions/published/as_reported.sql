-- A KPI view as it was published at a moment.
--
-- Invariant: exactly the rows that a reader saw then. Where the history does not reach so far back,
-- it is an error, never another answer.
-- SECURITY DEFINER: readers get the rows of a view that they may read, and no other history.

CREATE OR REPLACE FUNCTION analytics.as_reported(p_view_name text, p_at text)
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
SET search_path = pg_catalog, pg_temp
AS $as_reported$
DECLARE
    v_at constant timestamptz := kpi_engine.required_instant(p_at);
    v_publication kpi_engine.publications;
BEGIN
    PERFORM kpi_engine.require_readable_view(p_view_name);
    v_publication := kpi_engine.publication_at(p_view_name, v_at);
    IF v_publication.run_id IS NULL THEN
        RAISE EXCEPTION 'the history of view % does not reach back to %', p_view_name, v_at
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = kpi_engine.history_around(p_view_name, v_at),
                  HINT = 'Take a later p_at. The setting publication_history says how long the '
                         'history of each view is kept.';
    END IF;
    RETURN QUERY
        SELECT * FROM kpi_engine.rows_as_reported(p_view_name, v_publication.run_id);
END;
$as_reported$;

COMMENT ON FUNCTION analytics.as_reported(text, text) IS
'Rows of a KPI view, as objects, as it was published at p_at: a day (its end, in the zone of the '
'setting time_zone) or an instant (local without an offset). Errors: 22023 if there is no such '
'view, if p_at is no moment of the past, or if the history does not reach so far back; 42501 if '
'the caller may not read the view. jsonb_populate_record(NULL::analytics.mv_finanzas_mensuales, '
'object) makes a row of an object.';

REVOKE ALL ON FUNCTION analytics.as_reported(text, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.as_reported(text, text)
TO analytics_lector, analytics_operador;
