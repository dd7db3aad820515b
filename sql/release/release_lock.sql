-- Takes an advisory lock for the transaction; says whom it waits for.

CREATE FUNCTION pg_temp.release_lock(p_name text)
RETURNS void
LANGUAGE plpgsql
AS $release_lock$
DECLARE
    v_key constant bigint := hashtextextended(p_name, 0);
BEGIN
    IF pg_try_advisory_xact_lock(v_key) THEN
        RETURN;
    END IF;
    RAISE NOTICE 'teloo-analytics: waiting up to 30 minutes for the lock "%", held by process %',
        p_name, (
            SELECT string_agg(pg_locks.pid::text, ', ') FROM pg_locks
            WHERE
                pg_locks.locktype = 'advisory' AND pg_locks.granted AND pg_locks.objsubid = 1
                AND (pg_locks.classid::bigint << 32) | pg_locks.objid::bigint = v_key
        );
    PERFORM set_config('lock_timeout', '30min', true);
    PERFORM pg_advisory_xact_lock(v_key);
    PERFORM set_config('lock_timeout', '0', true);
END;
$release_lock$;
