-- Refuses a step whose session does not hold the refresh lock.
--
-- Invariant: a step that goes on also locks kpi_engine.refresh_lock until its end. A stranger can't
-- take that lock, so it shows a real refresh.

CREATE OR REPLACE FUNCTION kpi_engine.require_refresh_lock()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $require_refresh_lock$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_locks
        WHERE
            pg_locks.locktype = 'advisory'
            AND pg_locks.mode = 'ExclusiveLock'
            AND pg_locks.pid = pg_backend_pid()
            AND pg_locks.granted
            AND pg_locks.objsubid = 1
            AND (pg_locks.classid::bigint << 32) | pg_locks.objid::bigint
            = kpi_engine.refresh_lock_key()
    ) THEN
        RAISE EXCEPTION 'the session does not hold the refresh lock'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Without it, another refresh could be running; nothing was changed.',
                  HINT = 'CALL analytics.work(); or CALL analytics.rebuild();';
    END IF;
    LOCK TABLE kpi_engine.refresh_lock IN EXCLUSIVE MODE NOWAIT;
END;
$require_refresh_lock$;

COMMENT ON FUNCTION kpi_engine.require_refresh_lock() IS
'Raises 55000 unless this session holds the refresh lock. Internal to the steps of '
'analytics.work() and analytics.rebuild().';

REVOKE ALL ON FUNCTION kpi_engine.require_refresh_lock() FROM public;
