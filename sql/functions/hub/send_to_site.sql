-- Sends statements to a site, and does not wait for their answers.

CREATE OR REPLACE FUNCTION kpi_engine.send_to_site(p_site text, p_statements text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $send_to_site$
DECLARE
    v_is_sent integer;
BEGIN
    EXECUTE format('SELECT %s.dblink_send_query($1, $2)', kpi_engine.dblink_schema())
    INTO v_is_sent USING 'teloo_hub_' || p_site, p_statements;
    IF v_is_sent <> 1 THEN
        RAISE EXCEPTION 'the connection was lost' USING ERRCODE = 'connection_failure';
    END IF;
END;
$send_to_site$;

COMMENT ON FUNCTION kpi_engine.send_to_site(text, text) IS
'Sends statements over the open connection to a site; several are separated by semicolons. The '
'caller waits for each answer (kpi_engine.await_answer) and reads it. Error 08006 if the '
'connection is lost. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.send_to_site(text, text) FROM public;
