-- Says which sites of a hub do not deliver, and why.
--
-- Invariant: NULL if all sites gave what they have at the last refresh, none said that its own
-- figures lack rows, and none has stood still for longer than a view may.

CREATE OR REPLACE FUNCTION kpi_engine.hub_problem()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $hub_problem$
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN (
        SELECT string_agg(
            format('site %s: %s; the figures have what it gave %s', hub_sites.site, coalesce(
                hub_sites.message,
                CASE
                    WHEN hub_sites.state = 'new' THEN 'it was not tried yet: SELECT * FROM refresh_all_mv();'
                    WHEN hub_sites.behind IS NOT NULL
                        THEN format('its own figures are not whole: %s', hub_sites.behind)
                    ELSE 'its own last successful refresh is over 26 hours old'
                END
            ), coalesce('as of ' || kpi_engine.iso_instant(hub_sites.as_of), 'never') || CASE
                WHEN hub_sites.behind IS NULL THEN ''
                WHEN hub_sites.counted_as_of IS NULL
                    THEN '; nobody knows until when its publishers are counted'
                ELSE '; its publishers are counted until '
                    || kpi_engine.iso_instant(hub_sites.counted_as_of)
            END),
            '; ' ORDER BY hub_sites.site
        )
        FROM kpi_engine.hub_sites
        WHERE
            hub_sites.state <> 'ok'
            OR hub_sites.behind IS NOT NULL
            OR kpi_engine.is_stale(hub_sites.as_of)
    );
END;
$hub_problem$;

COMMENT ON FUNCTION kpi_engine.hub_problem() IS
'Text of the problem hub_site; NULL if there is none. Internal to analytics.health_problems().';

REVOKE ALL ON FUNCTION kpi_engine.hub_problem() FROM public;
