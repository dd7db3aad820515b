-- Names the sites whose newest figures a hub lacks.

CREATE OR REPLACE FUNCTION kpi_engine.partial_sites()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $partial_sites$
    SELECT string_agg(
        hub_sites.site || coalesce('=' || kpi_engine.iso_instant(hub_sites.as_of), ''), ', '
        ORDER BY hub_sites.site
    )
    FROM kpi_engine.hub_sites
    WHERE hub_sites.state <> 'ok';
$partial_sites$;

COMMENT ON FUNCTION kpi_engine.partial_sites() IS
'At a hub: the sites that gave nothing at the last refresh, each with the instant of the figures '
'that are counted for it (none if it never gave any); else NULL. The header X-Partial. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.partial_sites() FROM public;
