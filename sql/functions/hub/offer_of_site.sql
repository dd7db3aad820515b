-- At a hub: connects to a site, begins a transaction there, and asks what it offers.
--
-- Invariant: what is read over the connection until the next COMMIT is of the snapshot of the
-- offer. The tables are locked before it: a rebuild there can't put others in their place, which
-- are empty in that snapshot. Values are written the same way whatever the settings of the site.
-- It raises TH001 if the figures of the site can't be added to those here. A site of 0.1.1
-- can't say whether its own figures lack rows. One of before 0.1.12 can't say by which rules of the
-- zone its days are computed: two servers may have different time zone data.
-- A site notices that a hub went away: it does not compute the answer to the end, and ends a
-- transaction that nobody asks anything of.

CREATE OR REPLACE FUNCTION kpi_engine.offer_of_site(
    p_site text,
    OUT as_of timestamptz,
    OUT version bigint,
    OUT mark uuid,
    OUT is_everything boolean,
    OUT behind text,
    OUT counted_as_of timestamptz
)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $offer_of_site$
DECLARE
    v_schema constant text := kpi_engine.dblink_schema();
    v_seconds constant integer := analytics.setting('hub_timeout_seconds')::integer;
    v_other_rules constant text := 'it computes its facts by other rules: run make migrate of the same '
        'version at the site and here';
    v_site kpi_engine.hub_sites;
    v_offer record;
    v_lag record;
    -- The days that are compared: those of the facts here.
    v_from date;
    v_until date;
    v_zone_rules text;
BEGIN
    SELECT hub_sites.* INTO STRICT v_site FROM kpi_engine.hub_sites WHERE hub_sites.site = p_site;
    IF NOT EXISTS (
        SELECT FROM pg_foreign_server WHERE pg_foreign_server.srvname = v_site.server_name
    ) THEN
        RAISE EXCEPTION 'its server % is gone: somebody dropped it. Remove the site and add it again',
            v_site.server_name
            USING ERRCODE = 'TH001',
                  HINT = format('scripts/hub.py remove %s; scripts/hub.py add %s …', p_site, p_site);
    END IF;
    -- A cancelled refresh may have left it open.
    PERFORM kpi_engine.leave_site(p_site);
    EXECUTE format('SELECT %s.dblink_connect($1, $2)', v_schema)
    USING 'teloo_hub_' || p_site, v_site.server_name;
    PERFORM kpi_engine.send_to_site(p_site, format(
        'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; '
        'SET LOCAL statement_timeout = %L; SET LOCAL client_connection_check_interval = ''5s''; '
        'SET LOCAL idle_in_transaction_session_timeout = %L; '
        'SET LOCAL timezone = ''UTC''; SET LOCAL datestyle = ''ISO, YMD''; '
        'SET LOCAL intervalstyle = postgres; SET LOCAL extra_float_digits = 1; '
        'SET LOCAL bytea_output = hex; LOCK TABLE %s IN ACCESS SHARE MODE',
        v_seconds || 's',
        -- The hub takes the rows of other sites meanwhile.
        10 * v_seconds || 's',
        (
            SELECT string_agg(format('kpi_engine.%I', mirrored.table_name), ', ')
            FROM kpi_engine.mirrored_tables() AS mirrored
        )
    ));
    BEGIN
        PERFORM kpi_engine.end_answers(p_site);
    EXCEPTION WHEN undefined_table THEN
        RAISE EXCEPTION '%', v_other_rules USING ERRCODE = 'TH001';
    END;
    PERFORM kpi_engine.send_to_site(p_site, format(
        'SELECT *, to_regprocedure(''kpi_engine.hub_lag()'') IS NOT NULL,
             to_regprocedure(''kpi_engine.hub_zone_rules(date, date)'') IS NOT NULL
         FROM kpi_engine.hub_offer(%L, %L)', v_site.version, v_site.mark));
    PERFORM kpi_engine.await_answer(p_site);
    EXECUTE format(
        'SELECT * FROM %s.dblink_get_result($1) AS offer (
             refusal text, facts_version text, time_zone text, today date, as_of timestamptz,
             version bigint, mark uuid, is_everything boolean, has_lag boolean,
             has_zone_rules boolean)', v_schema
    ) INTO STRICT v_offer USING 'teloo_hub_' || p_site;
    PERFORM kpi_engine.end_answers(p_site);
    IF v_offer.refusal IS NULL THEN
        v_offer.refusal := CASE
            WHEN v_offer.facts_version IS DISTINCT FROM (
                SELECT installation.facts_version FROM kpi_engine.installation
            ) THEN v_other_rules
            WHEN v_offer.time_zone IS DISTINCT FROM analytics.setting('time_zone')
                THEN format('its time_zone is %s, and here it is %s',
                    v_offer.time_zone, analytics.setting('time_zone'))
            WHEN v_offer.today > analytics.today()
                THEN format('its local day is %s, and here it is still %s',
                    v_offer.today, analytics.today())
        END;
    END IF;
    IF v_offer.refusal IS NULL AND v_offer.has_zone_rules THEN
        -- No further than a site looks (kpi_engine.hub_zone_rules).
        SELECT
            greatest(coalesce(engine_state.zone_from, '1999-12-31'), '1900-01-01'),
            least(coalesce(engine_state.zone_until, analytics.today() + 62), '2200-01-01')
        INTO v_from, v_until
        FROM kpi_engine.engine_state;
        PERFORM kpi_engine.send_to_site(
            p_site, format('SELECT kpi_engine.hub_zone_rules(%L, %L)', v_from, v_until));
        PERFORM kpi_engine.await_answer(p_site);
        EXECUTE format('SELECT * FROM %s.dblink_get_result($1) AS rules (checksum text)', v_schema)
        INTO STRICT v_zone_rules USING 'teloo_hub_' || p_site;
        PERFORM kpi_engine.end_answers(p_site);
        -- In the zone of both settings: the facts here may still be of another one.
        IF v_zone_rules
            IS DISTINCT FROM kpi_engine.zone_rules(v_offer.time_zone, v_from, v_until) THEN
            v_offer.refusal := format(
                'its server has other time zone data of %s than the one here: update both (tzdata), '
                'and refresh the site', v_offer.time_zone);
        END IF;
    END IF;
    IF v_offer.refusal IS NOT NULL THEN
        RAISE EXCEPTION '%', v_offer.refusal USING ERRCODE = 'TH001';
    END IF;
    IF v_offer.has_lag THEN
        PERFORM kpi_engine.send_to_site(p_site, 'SELECT * FROM kpi_engine.hub_lag()');
        PERFORM kpi_engine.await_answer(p_site);
        EXECUTE format(
            'SELECT * FROM %s.dblink_get_result($1) AS lag (behind text, counted_as_of timestamptz)',
            v_schema
        ) INTO STRICT v_lag USING 'teloo_hub_' || p_site;
        PERFORM kpi_engine.end_answers(p_site);
        behind := v_lag.behind;
        counted_as_of := v_lag.counted_as_of;
    END IF;
    as_of := v_offer.as_of;
    version := v_offer.version;
    mark := v_offer.mark;
    is_everything := v_offer.is_everything;
END;
$offer_of_site$;

COMMENT ON FUNCTION kpi_engine.offer_of_site(text) IS
'What a site offers (kpi_engine.hub_offer there), and whether its own figures lack rows '
'(kpi_engine.hub_lag there), over a new connection with an open REPEATABLE READ transaction. '
'Errors: TH001 says why it is refused; any other: it is away. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.offer_of_site(text) FROM public;
