-- Ends the connection to a site, if there is one. What runs there is rolled back.

CREATE OR REPLACE FUNCTION kpi_engine.leave_site(p_site text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $leave_site$
DECLARE
    v_schema constant text := kpi_engine.dblink_schema();
    v_connection constant text := 'teloo_hub_' || p_site;
    v_is_open boolean;
BEGIN
    EXECUTE format('SELECT coalesce($1 = ANY (%s.dblink_get_connections()), false)', v_schema)
    INTO v_is_open USING v_connection;
    IF v_is_open THEN
        EXECUTE format('SELECT %s.dblink_disconnect($1)', v_schema) USING v_connection;
    END IF;
END;
$leave_site$;

COMMENT ON FUNCTION kpi_engine.leave_site(text) IS
'Closes the connection of dblink to a site. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.leave_site(text) FROM public;
