-- Whether ticks come.
--
-- Invariant: a new installation has three minutes for its first one. A tick in the future is
-- none: a clock was wrong.

CREATE OR REPLACE FUNCTION analytics.scheduler_is_running()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $scheduler_is_running$
    SELECT
        coalesce(scheduler_state.last_tick_at, scheduler_state.scheduled_since)
        BETWEEN clock_timestamp() - interval '3 minutes'
        AND clock_timestamp() + interval '3 minutes'
    FROM analytics.scheduler_state;
$scheduler_is_running$;

COMMENT ON FUNCTION analytics.scheduler_is_running() IS
'True when the last analytics.tick() is not over 3 minutes ago, by the wall clock.';

REVOKE ALL ON FUNCTION analytics.scheduler_is_running() FROM public;
