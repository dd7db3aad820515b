-- Shows other sessions when the refresh, rebuild or audit of this session began.
--
-- Invariant: a shared advisory lock shows it: the second key is the moment. Nothing else of an open
-- transaction is visible to others (analytics.running_refresh). The lock lasts until the end of the
-- transaction. If the caller commits between its steps, it lasts until the caller unlocks it.

CREATE OR REPLACE FUNCTION kpi_engine.show_refresh_start(p_for_session boolean DEFAULT false)
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $show_refresh_start$
DECLARE
    v_class constant integer := kpi_engine.refresh_start_lock_class()::bigint::integer;
    v_seconds constant integer := floor(extract(
        EPOCH FROM clock_timestamp() - timestamptz '2020-01-01 00:00:00Z'
    ));
BEGIN
    IF p_for_session THEN
        PERFORM pg_try_advisory_lock_shared(v_class, v_seconds);
    ELSE
        PERFORM pg_try_advisory_xact_lock_shared(v_class, v_seconds);
    END IF;
    RETURN v_seconds;
END;
$show_refresh_start$;

COMMENT ON FUNCTION kpi_engine.show_refresh_start(boolean) IS
'Shows the start of a refresh to other sessions. Returns the second key of the lock that shows '
'it: a caller that holds it for its session has to unlock it. Internal to '
'kpi_engine.hold_refresh_lock() and analytics.rebuild().';

REVOKE ALL ON FUNCTION kpi_engine.show_refresh_start(boolean) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.show_refresh_start(boolean) TO analytics_operador;
