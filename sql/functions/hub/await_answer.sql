-- Waits for the next answer of one of several sites, at most for hub_timeout_seconds.
--
-- Invariant: sites that hang do not hold a refresh longer than that, and the wait can be cancelled.
-- Any other call of dblink would wait without an end.

CREATE OR REPLACE FUNCTION kpi_engine.await_answer(VARIADIC p_sites text[])
RETURNS text
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $await_answer$
DECLARE
    v_is_busy constant text := format('SELECT %s.dblink_is_busy($1)', kpi_engine.dblink_schema());
    v_seconds constant integer := analytics.setting('hub_timeout_seconds')::integer;
    v_until constant timestamptz := clock_timestamp() + make_interval(secs => v_seconds);
    v_site text;
    v_answer integer;
    v_poll integer;
    v_pause double precision := 0.001;
BEGIN
    LOOP
        FOREACH v_site IN ARRAY p_sites LOOP
            -- Each call reads one buffer of the answer, about 16 kB. To sleep after each of them
            -- would let a large answer come at half a megabyte a second.
            FOR v_poll IN 1..16 LOOP
                EXECUTE v_is_busy INTO v_answer USING 'teloo_hub_' || v_site;
                IF v_answer = 0 THEN
                    RETURN v_site;
                END IF;
            END LOOP;
        END LOOP;
        IF clock_timestamp() > v_until THEN
            RAISE EXCEPTION 'no answer for % seconds (setting hub_timeout_seconds)', v_seconds
                USING ERRCODE = 'connection_failure';
        END IF;
        PERFORM pg_sleep(v_pause);
        v_pause := least(2 * v_pause, 0.01);
    END LOOP;
END;
$await_answer$;

COMMENT ON FUNCTION kpi_engine.await_answer(text[]) IS
'The first of these sites whose next answer dblink_get_result() can read without waiting, or whose '
'connection is lost, so that reading fails. Error 08006 after hub_timeout_seconds: none of them '
'answered. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.await_answer(text[]) FROM public;
