-- How fresh the outside tables behind the KPI views are, as JSON.
--
-- Invariant: an empty array if nothing is declared. as_of never moves while a view can't be
-- refreshed.

CREATE OR REPLACE FUNCTION kpi_engine.outside_freshness(p_view_name text DEFAULT NULL)
RETURNS json
LANGUAGE sql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $outside_freshness$
    SELECT coalesce(
        json_agg(
            json_build_object(
                'view', outside_sources.view_name,
                'source', outside_sources.source_name,
                'watch', outside_sources.watch,
                'as_of', kpi_engine.iso_instant(outside_sources.as_of),
                'read_at', kpi_engine.iso_instant(outside_sources.read_at)
            )
            ORDER BY outside_sources.view_name, outside_sources.source_name
        ),
        '[]'
    )
    FROM kpi_engine.outside_sources
    WHERE p_view_name IS NULL OR outside_sources.view_name = p_view_name;
$outside_freshness$;

COMMENT ON FUNCTION kpi_engine.outside_freshness(text) IS
'Outside tables of all KPI views or one: view, source, watch, as_of (until when it was complete), '
'read_at. Internal to status, the catalogue and the headers of an answer.';

REVOKE ALL ON FUNCTION kpi_engine.outside_freshness(text) FROM public;
