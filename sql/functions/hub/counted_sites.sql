-- Says until when the changes of each site of a hub are in its figures.
--
-- Invariant: a hub closes no period that the site itself would leave open. A site counts a lag of
-- its publishers within its setting replica_lag (kpi_engine.facts_counted_until), so a hub does.

CREATE OR REPLACE FUNCTION kpi_engine.counted_sites()
RETURNS TABLE (site text, counted_until timestamptz, is_partial boolean)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $counted_sites$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each refresh and each tick calls this.
    RETURN QUERY
        SELECT
            hub_sites.site,
            CASE
                -- Its rules may be others: what it gave may lack columns that the figures need now.
                WHEN hub_sites.state = 'refused' THEN NULL
                -- Nobody knows until when these figures are whole: least() would skip the NULL.
                WHEN hub_sites.behind IS NULL OR hub_sites.counted_as_of IS NOT NULL
                    THEN least(hub_sites.as_of, hub_sites.counted_as_of)
            END,
            hub_sites.state <> 'ok' OR hub_sites.behind IS NOT NULL
        FROM kpi_engine.hub_sites;
END;
$counted_sites$;

COMMENT ON FUNCTION kpi_engine.counted_sites() IS
'At a hub: each site with the instant until when its changes are in the figures (NULL if that is '
'not known, or it never gave any), and whether it gave nothing at the last refresh or its own '
'figures lack rows (is_partial). Internal.';

REVOKE ALL ON FUNCTION kpi_engine.counted_sites() FROM public;
