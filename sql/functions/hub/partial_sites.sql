-- Lists the sites whose newest figures a hub lacks.

CREATE OR REPLACE FUNCTION kpi_engine.partial_sites()
RETURNS TABLE (site text, since timestamptz)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $partial_sites$
    SELECT
        hub_sites.site,
        CASE
            WHEN hub_sites.behind IS NULL THEN hub_sites.as_of
            -- least() skips NULL, and nobody knows until when these figures are whole.
            WHEN hub_sites.counted_as_of IS NOT NULL
                THEN least(hub_sites.as_of, hub_sites.counted_as_of)
        END
    FROM kpi_engine.hub_sites
    WHERE hub_sites.state <> 'ok' OR hub_sites.behind IS NOT NULL;
$partial_sites$;

COMMENT ON FUNCTION kpi_engine.partial_sites() IS
'At a hub: the sites that gave nothing at the last refresh, or whose own figures lack rows, each '
'with the instant until when its changes are counted (NULL if that is not known, or it never gave '
'any). Internal to kpi_engine.partial_figures().';

REVOKE ALL ON FUNCTION kpi_engine.partial_sites() FROM public;
