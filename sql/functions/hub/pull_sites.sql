-- Takes from all sites what changed, before a refresh applies it.
--
-- Invariant: a site that is away, refused or broken leaves its mirror and the other sites as they
-- are. A site is tried again by each refresh. A row that moved to another site is taken in the
-- second pass, when the site that had it has given it up.

CREATE OR REPLACE FUNCTION kpi_engine.pull_sites()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $pull_sites$
DECLARE
    v_pass integer;
    v_site text;
    v_schema text;
    v_message text;
    v_detail text;
    v_context text;
    v_sqlstate text;
BEGIN
    IF NOT EXISTS (SELECT FROM kpi_engine.hub_sites) THEN
        RETURN;
    END IF;
    v_schema := kpi_engine.dblink_schema();
    FOR v_pass IN 1..2 LOOP
        FOR v_site IN
            SELECT hub_sites.site
            FROM kpi_engine.hub_sites
            WHERE v_pass = 1 OR hub_sites.state = 'clash'
            ORDER BY hub_sites.site
        LOOP
            -- A cancelled refresh may have left it open.
            PERFORM kpi_engine.leave_site(v_schema, v_site);
            BEGIN
                PERFORM kpi_engine.pull_site(v_site);
            -- OTHERS leaves a cancelled query out, also one that was cancelled at the site.
            EXCEPTION WHEN OTHERS OR query_canceled THEN
                GET STACKED DIAGNOSTICS
                    v_context := PG_EXCEPTION_CONTEXT,
                    v_message := MESSAGE_TEXT,
                    v_detail := PG_EXCEPTION_DETAIL,
                    v_sqlstate := RETURNED_SQLSTATE;
                IF v_sqlstate = '57014' AND strpos(v_context, '"teloo_hub_' || v_site || '"') = 0 THEN
                    RAISE;
                END IF;
                UPDATE kpi_engine.hub_sites SET
                    state = CASE v_sqlstate
                        WHEN 'TH001' THEN 'refused'
                        WHEN 'TH002' THEN 'clash'
                        ELSE 'away'
                    END,
                    -- The reason of a connection that failed.
                    message = concat_ws(': ', v_message, nullif(split_part(v_detail, E'\n', 1), '')),
                    tried_at = clock_timestamp()
                WHERE hub_sites.site = v_site;
            END;
            PERFORM kpi_engine.leave_site(v_schema, v_site);
        END LOOP;
    END LOOP;
    FOR v_site, v_message IN
        SELECT hub_sites.site, hub_sites.message FROM kpi_engine.hub_sites WHERE hub_sites.state <> 'ok'
    LOOP
        RAISE WARNING 'teloo-analytics: site % gave nothing: %', v_site, v_message
            USING DETAIL = 'The figures have what it gave last.';
    END LOOP;
END;
$pull_sites$;

COMMENT ON FUNCTION kpi_engine.pull_sites() IS
'At a hub: takes what changed at each site into the mirror. A site that fails is noted in '
'analytics.hub_sites. Internal to the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.pull_sites() FROM public;
