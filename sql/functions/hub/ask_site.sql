-- Sends a statement to a site, and waits for its answer at most for hub_timeout_seconds.
--
-- Invariant: a site that hangs does not hold a refresh longer than that. Any other call of dblink
-- would wait without an end, and could not be cancelled.
-- The caller reads the answer with dblink_get_result() until it is empty.

CREATE OR REPLACE FUNCTION kpi_engine.ask_site(p_connection text, p_statement text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $ask_site$
DECLARE
    v_schema constant text := kpi_engine.dblink_schema();
    v_seconds constant integer := analytics.setting('hub_timeout_seconds')::integer;
    v_until constant timestamptz := clock_timestamp() + make_interval(secs => v_seconds);
    v_answer integer;
    v_poll integer;
    v_pause double precision := 0.001;
BEGIN
    EXECUTE format('SELECT %s.dblink_send_query($1, $2)', v_schema)
    INTO v_answer USING p_connection, p_statement;
    IF v_answer <> 1 THEN
        RAISE EXCEPTION 'the connection was lost' USING ERRCODE = 'connection_failure';
    END IF;
    LOOP
        -- Each call reads one buffer of the answer, about 16 kB. To sleep after each of them would
        -- let a large answer come at half a megabyte a second.
        FOR v_poll IN 1..16 LOOP
            EXECUTE format('SELECT %s.dblink_is_busy($1)', v_schema) INTO v_answer USING p_connection;
            EXIT WHEN v_answer = 0;
        END LOOP;
        EXIT WHEN v_answer = 0;
        IF clock_timestamp() > v_until THEN
            RAISE EXCEPTION 'no answer for % seconds (setting hub_timeout_seconds)', v_seconds
                USING ERRCODE = 'connection_failure';
        END IF;
        PERFORM pg_sleep(v_pause);
        v_pause := least(2 * v_pause, 0.01);
    END LOOP;
END;
$ask_site$;

COMMENT ON FUNCTION kpi_engine.ask_site(text, text) IS
'Sends a statement over an open connection of dblink and returns when its answer is there. Error '
'08006 after hub_timeout_seconds, or if the connection is lost. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.ask_site(text, text) FROM public;
