-- Tells whether ticks come.
--
-- Invariant: a new installation has three minutes for its first tick. A tick in the future does not
-- count: a clock was wrong. The stamp of a tick from a dump is no tick of this database.

CREATE OR REPLACE FUNCTION kpi_engine.scheduler_is_running()
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $scheduler_is_running$
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN (
        SELECT
            coalesce(engine_state.database_identity = kpi_engine.database_identity(), true)
            AND coalesce(scheduler_state.last_tick_at, scheduler_state.scheduled_since)
            BETWEEN clock_timestamp() - interval '3 minutes'
            AND clock_timestamp() + interval '3 minutes'
        FROM kpi_engine.scheduler_state
        CROSS JOIN kpi_engine.engine_state
    );
END;
$scheduler_is_running$;

COMMENT ON FUNCTION kpi_engine.scheduler_is_running() IS
'True when the last analytics.tick() in this database is not over 3 minutes ago, by the wall '
'clock.';

REVOKE ALL ON FUNCTION kpi_engine.scheduler_is_running() FROM public;
