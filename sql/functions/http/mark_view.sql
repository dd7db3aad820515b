-- Marks the answer of a KPI view that PostgREST reads itself, as the product paths mark theirs.
--
-- Invariant: no figure of a view leaves the API without what is known against it. PostgREST gives
-- such an answer no ETag, so this gives it none, too.
-- SECURITY DEFINER: readers may not read the engine's tables. It says what /rpc/kpi says to them.
-- PostgreSQL asks for the right to call it also where analytics.check_request() does not.

CREATE OR REPLACE FUNCTION kpi_engine.mark_view(p_path text)
RETURNS void
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
AS $mark_view$
BEGIN
    PERFORM kpi_engine.set_reading_headers(
        NULL, view_state.published_version, view_state.calculated_at, view_state.last_success_at,
        coalesce(kpi_engine.is_stale(view_state.last_success_at), true),
        kpi_engine.outside_as_of(view_state.view_name),
        p_view_name => view_state.view_name)
    FROM kpi_engine.view_state
    WHERE view_state.view_name = substr(p_path, 2);
END;
$mark_view$;

COMMENT ON FUNCTION kpi_engine.mark_view(text) IS
'Sets X-Data-Version, X-Calculated-At, X-Refreshed-At, X-Stale, X-As-Of and X-Partial where the '
'path of PostgREST is a KPI view; nothing for another path. Internal to analytics.check_request().';

REVOKE ALL ON FUNCTION kpi_engine.mark_view(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.mark_view(text)
TO analytics_anon, analytics_lector, analytics_operador;
