-- Ends a refresh that runs longer than its limit.
--
-- Invariant: it touches only the session that holds the refresh lock. First it cancels the refresh.
-- If the session still holds the lock at the next tick, because it is idle in a transaction and
-- there is nothing to cancel, it ends the session. A session that shows no start is no refresh. Its
-- age is the time since the first tick that saw it.
-- SECURITY DEFINER: to cancel refreshes of others, it needs the right pg_signal_backend, which
-- analytics_owner has if migrate could grant it. It can't cancel a superuser's session.

CREATE OR REPLACE FUNCTION kpi_engine.cancel_overdue_refresh()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $cancel_overdue_refresh$
DECLARE
    v_max_minutes constant integer := analytics.setting('refresh_max_minutes')::integer;
    v_running record;
    v_is_cancelled boolean;
BEGIN
    SELECT running_refresh.* INTO v_running FROM analytics.running_refresh();
    IF v_running.started_at IS NULL THEN
        SELECT
            holders.pid,
            scheduler_state.lock_holder_since AS started_at
        INTO v_running
        FROM analytics.lock_holders() AS holders
        INNER JOIN kpi_engine.scheduler_state ON scheduler_state.lock_holder_pid = holders.pid
        WHERE NOT holders.is_in_our_code;
    END IF;
    IF v_max_minutes = 0
        OR v_running.pid IS NULL
        OR v_running.started_at IS NULL
        OR clock_timestamp() - v_running.started_at <= make_interval(mins => v_max_minutes) THEN
        RETURN false;
    END IF;
    SELECT scheduler_state.refresh_cancelled_at >= v_running.started_at IS TRUE INTO v_is_cancelled
    FROM kpi_engine.scheduler_state;
    RAISE WARNING 'teloo-analytics: the refresh of process % has run since %, for more than % minutes: %',
        v_running.pid, v_running.started_at, v_max_minutes,
        CASE WHEN v_is_cancelled THEN 'its session is ended' ELSE 'cancelled' END;
    IF v_is_cancelled THEN
        RETURN pg_terminate_backend(v_running.pid);
    END IF;
    UPDATE kpi_engine.scheduler_state SET refresh_cancelled_at = clock_timestamp();
    RETURN pg_cancel_backend(v_running.pid);
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'teloo-analytics: the refresh of process % could not be cancelled: %',
            v_running.pid, SQLERRM
            USING HINT = 'Have a superuser run: GRANT pg_signal_backend TO analytics_owner; '
                || format('or: SELECT pg_terminate_backend(%s);', v_running.pid);
        RETURN false;
END;
$cancel_overdue_refresh$;

COMMENT ON FUNCTION kpi_engine.cancel_overdue_refresh() IS
'Cancels the running refresh when it runs for longer than the setting refresh_max_minutes, '
'and ends its session when that was of no use; true when it did. Where it may not, it warns in '
'the server''s log. Internal to analytics.tick().';

REVOKE ALL ON FUNCTION kpi_engine.cancel_overdue_refresh() FROM public;
