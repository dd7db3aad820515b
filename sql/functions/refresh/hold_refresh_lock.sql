-- Takes the refresh lock for the transaction, or names the session that has it.
--
-- Invariant: one refresh at a time. The advisory lock lasts across the steps of a procedure. A
-- stranger can't take the lock on kpi_engine.refresh_lock, so that lock shows a real refresh.

CREATE OR REPLACE FUNCTION kpi_engine.hold_refresh_lock()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $hold_refresh_lock$
BEGIN
    IF NOT pg_try_advisory_xact_lock(kpi_engine.refresh_lock_key()) THEN
        PERFORM kpi_engine.raise_refresh_running();
    END IF;
    LOCK TABLE kpi_engine.refresh_lock IN EXCLUSIVE MODE NOWAIT;
    PERFORM kpi_engine.show_refresh_start();
END;
$hold_refresh_lock$;

COMMENT ON FUNCTION kpi_engine.hold_refresh_lock() IS
'Takes the refresh lock for the transaction, and shows its start. Errors: 55P03 while another '
'session holds it. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.hold_refresh_lock() FROM public;
