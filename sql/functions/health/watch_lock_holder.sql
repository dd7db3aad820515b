-- In each tick: notes since when a session holds the refresh lock without refreshing.
--
-- Invariant: a refresh shows its start or has a job. If a session shows nothing, only the ticks
-- know since when it holds the lock. It returns whether a refresh is running, as far as that is
-- known.

CREATE OR REPLACE FUNCTION kpi_engine.watch_lock_holder()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $watch_lock_holder$
DECLARE
    v_holder record;
    v_running record;
    v_since timestamptz;
BEGIN
    SELECT running_refresh.* INTO v_running FROM analytics.running_refresh();
    SELECT lock_holders.* INTO v_holder
    FROM analytics.lock_holders()
    ORDER BY lock_holders.is_stranger DESC
    LIMIT 1;
    IF v_running.pid = v_holder.pid
        AND (
            v_running.started_at IS NOT NULL OR v_running.job_id IS NOT NULL
            OR v_holder.is_in_our_code
        ) THEN
        v_holder.pid := NULL;
    END IF;
    UPDATE kpi_engine.scheduler_state SET
        lock_holder_pid = v_holder.pid,
        lock_holder_since = CASE WHEN v_holder.pid IS NOT NULL THEN clock_timestamp() END
    WHERE
        scheduler_state.lock_holder_pid IS DISTINCT FROM v_holder.pid
        OR scheduler_state.lock_holder_since > clock_timestamp();
    SELECT scheduler_state.lock_holder_since INTO v_since FROM kpi_engine.scheduler_state;
    RETURN v_running.pid IS NOT NULL
        AND (v_since < clock_timestamp() - interval '5 minutes') IS NOT TRUE;
END;
$watch_lock_holder$;

COMMENT ON FUNCTION kpi_engine.watch_lock_holder() IS
'Notes in analytics.scheduler_state which session holds the refresh lock without refreshing. '
'Returns whether a refresh is running. Internal to kpi_engine.queue_due_refresh().';

REVOKE ALL ON FUNCTION kpi_engine.watch_lock_holder() FROM public;
