-- Refreshes a view that reads outside tables: kpi_engine.refresh_view() with limits of time.
--
-- Invariant: it waits for the lock of a local table for 10 s at most. The options of a foreign
-- server limit the time there. An error of an outside table is TA002.

CREATE OR REPLACE FUNCTION kpi_engine.refresh_outside_view(p_view record, p_force boolean)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '10s'
SET row_security = off
AS $refresh_outside_view$
DECLARE
    v_message text;
    v_detail text;
    v_context text;
BEGIN
    RETURN kpi_engine.refresh_view(p_view, p_force);
EXCEPTION WHEN query_canceled OR OTHERS THEN
    GET STACKED DIAGNOSTICS
        v_message := MESSAGE_TEXT,
        v_detail := PG_EXCEPTION_DETAIL,
        v_context := PG_EXCEPTION_CONTEXT;
    PERFORM kpi_engine.raise_outside_error(
        p_view.view_name, SQLSTATE, v_message, v_detail, v_context);
    RETURN NULL;
END;
$refresh_outside_view$;

COMMENT ON FUNCTION kpi_engine.refresh_outside_view(record, boolean) IS
'Refreshes a view that reads outside tables; false if its rows were right already. Errors: TA002 '
'if an outside table can''t be read. Internal to kpi_engine.run_refresh().';

REVOKE ALL ON FUNCTION kpi_engine.refresh_outside_view(record, boolean) FROM public;
