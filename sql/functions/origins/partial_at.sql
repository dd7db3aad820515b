-- Lists what the figures lacked rows of at a moment, for whoever reads analytics.as_reported().
--
-- SECURITY DEFINER: readers get what the header X-Partial says, and nothing else of the engine.

CREATE OR REPLACE FUNCTION analytics.partial_at(p_at text)
RETURNS TABLE (origen text, since timestamptz, is_site boolean)
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $partial_at$
BEGIN
    RETURN QUERY
        SELECT * FROM kpi_engine.partial_views(NULL, kpi_engine.required_instant(p_at));
END;
$partial_at$;

COMMENT ON FUNCTION analytics.partial_at(text) IS
'The origins, subscriptions and sites of which figures of any view lacked rows at p_at (a day or '
'an instant, as in analytics.as_reported()), each with the instant until when they were counted '
'(NULL: not known). No row: the figures were whole. Known since version 0.1.5, for moments of the '
'past to a minute. Error: 22023 if p_at is no moment of the past.';

REVOKE ALL ON FUNCTION analytics.partial_at(text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.partial_at(text) TO analytics_lector, analytics_operador;
