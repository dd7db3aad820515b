-- Runs a statement without rows at a site.

CREATE OR REPLACE FUNCTION kpi_engine.tell_site(p_connection text, p_statement text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $tell_site$
DECLARE
    v_schema constant text := kpi_engine.dblink_schema();
    v_lines bigint;
BEGIN
    PERFORM kpi_engine.ask_site(p_connection, p_statement);
    LOOP
        EXECUTE format('SELECT count(*) FROM %s.dblink_get_result($1) AS answer (status text)', v_schema)
        INTO v_lines USING p_connection;
        EXIT WHEN v_lines = 0;
    END LOOP;
END;
$tell_site$;

COMMENT ON FUNCTION kpi_engine.tell_site(text, text) IS
'Runs a command at a site and waits for its end. Errors: those of the command, and 08006 '
'(kpi_engine.ask_site). Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.tell_site(text, text) FROM public;
