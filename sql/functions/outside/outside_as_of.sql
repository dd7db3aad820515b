-- Until when the outside tables of a view were complete when the view was last right.

CREATE OR REPLACE FUNCTION kpi_engine.outside_as_of(p_view_name text)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $outside_as_of$
BEGIN
    -- PL/pgSQL keeps the plan: each reading request asks.
    RETURN (
        SELECT min(outside_sources.as_of)
        FROM kpi_engine.outside_sources
        WHERE outside_sources.view_name = p_view_name
    );
END;
$outside_as_of$;

COMMENT ON FUNCTION kpi_engine.outside_as_of(text) IS
'The oldest as_of of the outside tables of a view; NULL if it reads none. Internal to the headers '
'of an answer.';

REVOKE ALL ON FUNCTION kpi_engine.outside_as_of(text) FROM public;
