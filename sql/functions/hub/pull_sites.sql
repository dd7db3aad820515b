-- Takes from all sites what changed, before a refresh applies it.
--
-- Invariant: a site that is away, refused or broken leaves its mirror and the other sites as they
-- are. A site is tried again by each refresh. Connections are made in turn. Sites that were asked
-- compute at the same time: what comes first is taken first, and several that hang then hold a
-- refresh no longer than one.
-- A row that moved to another site is taken in the second pass, when the site that had it has given
-- it up.

CREATE OR REPLACE FUNCTION kpi_engine.pull_sites()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $pull_sites$
DECLARE
    v_pass integer;
    -- Sites that are not asked yet, that compute what changed, and that give all rows.
    v_next text[];
    v_asked text[];
    v_whole text[];
    v_tried text[];
    v_offers jsonb := '{}';
    v_taken jsonb;
    v_site text;
    v_message text;
    v_detail text;
    v_context text;
    v_sqlstate text;
BEGIN
    IF NOT EXISTS (SELECT FROM kpi_engine.hub_sites) THEN
        RETURN;
    END IF;
    FOR v_pass IN 1..2 LOOP
        v_next := ARRAY(
            SELECT hub_sites.site
            FROM kpi_engine.hub_sites
            WHERE v_pass = 1 OR hub_sites.state = 'clash'
            ORDER BY hub_sites.site
        );
        v_asked := '{}';
        v_whole := '{}';
        WHILE v_next || v_asked || v_whole <> '{}' LOOP
            v_taken := NULL;
            BEGIN
                IF v_next <> '{}' THEN
                    v_site := v_next[1];
                    v_tried := ARRAY[v_site];
                    v_next := v_next[2:];
                    v_offers := v_offers
                        || jsonb_build_object(v_site, kpi_engine.offer_of_site(v_site));
                    IF (v_offers -> v_site ->> 'is_everything')::boolean THEN
                        -- In its own turn: no transaction there waits for the other sites.
                        PERFORM kpi_engine.leave_site(v_site);
                        v_whole := v_whole || v_site;
                    ELSE
                        PERFORM kpi_engine.ask_changes(v_site);
                        v_asked := v_asked || v_site;
                    END IF;
                ELSIF v_asked <> '{}' THEN
                    v_tried := v_asked;
                    v_site := kpi_engine.await_answer(VARIADIC v_asked);
                    v_tried := ARRAY[v_site];
                    v_asked := array_remove(v_asked, v_site);
                    PERFORM kpi_engine.pull_changes(v_site);
                    v_taken := v_offers -> v_site;
                ELSE
                    v_site := v_whole[1];
                    v_tried := ARRAY[v_site];
                    v_whole := v_whole[2:];
                    v_taken := kpi_engine.pull_site(v_site);
                END IF;
                IF v_taken IS NOT NULL THEN
                    UPDATE kpi_engine.hub_sites SET
                        state = 'ok',
                        message = NULL,
                        version = (v_taken ->> 'version')::bigint,
                        mark = (v_taken ->> 'mark')::uuid,
                        as_of = (v_taken ->> 'as_of')::timestamptz,
                        behind = v_taken ->> 'behind',
                        counted_as_of = (v_taken ->> 'counted_as_of')::timestamptz,
                        taken_at = clock_timestamp(),
                        tried_at = clock_timestamp()
                    WHERE hub_sites.site = v_site;
                    PERFORM kpi_engine.leave_site(v_site);
                END IF;
            -- OTHERS leaves a cancelled query out, also one that was cancelled at the site.
            EXCEPTION WHEN OTHERS OR query_canceled THEN
                GET STACKED DIAGNOSTICS
                    v_context := PG_EXCEPTION_CONTEXT,
                    v_message := MESSAGE_TEXT,
                    v_detail := PG_EXCEPTION_DETAIL,
                    v_sqlstate := RETURNED_SQLSTATE;
                IF v_sqlstate = '57014' AND strpos(v_context, '"teloo_hub_' || v_site || '"') = 0 THEN
                    -- The session may live on: no transaction at a site waits for its end.
                    PERFORM kpi_engine.leave_site(left_open.site)
                    FROM unnest(v_asked || v_tried) AS left_open (site);
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
                WHERE hub_sites.site = ANY (v_tried);
                v_asked := ARRAY(SELECT unnest(v_asked) EXCEPT SELECT unnest(v_tried));
                PERFORM kpi_engine.leave_site(tried.site) FROM unnest(v_tried) AS tried (site);
            END;
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
