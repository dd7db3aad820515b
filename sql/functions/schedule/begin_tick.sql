-- Lets one tick run at a time.
--
-- Invariant: false while another tick runs, which is no fault. If that keeps ticks away for three
-- minutes, it is a fault, and the error names the session. So missing ticks never stay unnoticed.
-- Only a tick has both locks. So analytics.lock_blocked_problem() does not take the first tick
-- after a pause for a session that keeps ticks away.

CREATE OR REPLACE FUNCTION kpi_engine.begin_tick()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $begin_tick$
DECLARE
    v_message text;
BEGIN
    LOCK TABLE kpi_engine.tick_lock IN ACCESS SHARE MODE NOWAIT;
    LOCK TABLE kpi_engine.tick_lock IN EXCLUSIVE MODE NOWAIT;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    IF NOT kpi_engine.scheduler_is_running() THEN
        -- The first tick after a while may be running, for as long as lock_timeout says.
        BEGIN
            LOCK TABLE kpi_engine.tick_lock IN ACCESS SHARE MODE;
            LOCK TABLE kpi_engine.tick_lock IN EXCLUSIVE MODE;
            RETURN true;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END IF;
    IF NOT kpi_engine.scheduler_is_running() THEN
        SELECT problem.message INTO v_message
        FROM analytics.lock_blocked_problem() AS problem
        WHERE problem.blocks_ticks;
        RAISE EXCEPTION 'no tick can begin, and none did for 3 minutes%',
            coalesce(': ' || v_message, '')
            USING ERRCODE = 'lock_not_available',
                  HINT = 'See who holds a lock on kpi_engine.tick_lock in pg_locks.';
    END IF;
    RETURN false;
END;
$begin_tick$;

COMMENT ON FUNCTION kpi_engine.begin_tick() IS
'Takes the lock of ticks for the transaction; false while another tick has it, 55P03 when that '
'keeps ticks away for 3 minutes. Internal to kpi_engine.tick_step().';

REVOKE ALL ON FUNCTION kpi_engine.begin_tick() FROM public;
