-- Says which session stops refreshes or ticks, and how to end it.
--
-- Invariant: it needs no lock itself. It names a stranger who holds the refresh lock at once. It
-- names a session of the package that holds the lock and does nothing after five minutes of ticks.
-- It names a refresh that waits for a lock after p_wait, and a session that keeps ticks from
-- beginning after three minutes without a tick. A tick that has just begun is none: it has the mark
-- of kpi_engine.begin_tick(). The holder of a lock may be no session: a prepared transaction has no
-- process and no role, and a process of the server may have no role.

CREATE OR REPLACE FUNCTION analytics.lock_blocked_problem(
    p_wait interval DEFAULT interval '1 minute'
)
RETURNS TABLE (severity text, message text, blocks_ticks boolean)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $lock_blocked_problem$
DECLARE
    v_holder record;
    v_blocker record;
BEGIN
    blocks_ticks := false;
    FOR v_holder IN
        SELECT holders.*, scheduler_state.lock_holder_since
        FROM analytics.lock_holders() AS holders
        LEFT JOIN kpi_engine.scheduler_state ON scheduler_state.lock_holder_pid = holders.pid
    LOOP
        IF v_holder.is_stranger
            OR NOT v_holder.is_in_our_code
            AND v_holder.lock_holder_since < clock_timestamp() - interval '5 minutes' THEN
            severity := 'unhealthy';
            message := format(
                'process %s (role %I, application %L) holds the refresh lock%s and is no refresh, '
                'so that no refresh can begin: SELECT pg_terminate_backend(%s);',
                v_holder.pid, v_holder.role_name, v_holder.application,
                ' since ' || kpi_engine.iso_instant(v_holder.lock_holder_since), v_holder.pid);
            RETURN NEXT;
        ELSE
            FOR v_blocker IN
                SELECT
                    least(waiting.waitstart, shown.since) AS waitstart,
                    coalesce(waiting.relation::regclass::text, waiting.locktype) AS what,
                    blocker.pid,
                    pg_get_userbyid(session.usesysid) AS role_name,
                    session.application_name AS application
                FROM pg_locks AS waiting
                CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocker (pid)
                LEFT JOIN LATERAL pg_stat_get_activity(blocker.pid) AS session ON true
                LEFT JOIN LATERAL (
                    -- It tries again and again (kpi_engine.hold_source).
                    SELECT
                        timestamptz '2020-01-01 00:00:00Z'
                        + max(mark.objid::bigint) * interval '1 second' AS since
                    FROM pg_locks AS mark
                    WHERE
                        mark.locktype = 'advisory'
                        AND mark.pid = waiting.pid
                        AND mark.objsubid = 2
                        AND mark.classid = kpi_engine.source_wait_lock_class()
                        AND waiting.mode = 'AccessShareLock'
                        AND waiting.relation IN (
                            SELECT captured_tables.relation FROM kpi_engine.captured_tables()
                        )
                ) AS shown ON true
                WHERE
                    waiting.pid = v_holder.pid
                    AND NOT waiting.granted
                    AND least(waiting.waitstart, shown.since) <= clock_timestamp() - p_wait
                LIMIT 1
            LOOP
                severity := 'degraded';
                message := format(
                    'the refresh of process %s waits since %s for a lock (%s) that %s',
                    v_holder.pid, kpi_engine.iso_instant(v_blocker.waitstart), v_blocker.what,
                    CASE v_blocker.pid
                        WHEN 0 THEN
                            'a prepared transaction holds or waits for before it: SELECT * FROM '
                            'pg_prepared_xacts; lists it; COMMIT PREPARED or ROLLBACK PREPARED ends it'
                        ELSE format(
                            'process %1$s (role %2$s, application %3$L) holds or waits for before it: '
                            'end that transaction, or SELECT pg_terminate_backend(%1$s);',
                            v_blocker.pid, coalesce(quote_ident(v_blocker.role_name), 'none'),
                            v_blocker.application)
                    END);
                RETURN NEXT;
            END LOOP;
        END IF;
    END LOOP;
    IF NOT kpi_engine.scheduler_is_running() THEN
        FOR v_holder IN
            SELECT
                pg_locks.pid,
                pg_get_userbyid(session.usesysid) AS role_name,
                session.application_name AS application
            FROM pg_locks
            CROSS JOIN LATERAL pg_stat_get_activity(pg_locks.pid) AS session
            WHERE
                pg_locks.relation = 'kpi_engine.tick_lock'::regclass
                AND pg_locks.granted
                AND pg_locks.mode = ANY (ARRAY[
                    'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
                    'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock', 'RowShareLock'
                ])
                AND pg_locks.pid <> pg_backend_pid()
                AND (
                    -- No tick, or one that we see to have begun before.
                    NOT EXISTS (
                        SELECT FROM pg_locks AS mark
                        WHERE
                            mark.pid = pg_locks.pid
                            AND mark.relation = 'kpi_engine.tick_lock'::regclass
                            AND mark.mode = 'AccessShareLock'
                            AND mark.granted
                    )
                    OR session.xact_start <= clock_timestamp() - p_wait
                )
            LIMIT 1
        LOOP
            severity := 'unhealthy';
            blocks_ticks := true;
            message := format(
                'process %s (role %I, application %L) keeps ticks from beginning: '
                'SELECT pg_terminate_backend(%s);',
                v_holder.pid, v_holder.role_name, v_holder.application, v_holder.pid);
            RETURN NEXT;
        END LOOP;
    END IF;
END;
$lock_blocked_problem$;

COMMENT ON FUNCTION analytics.lock_blocked_problem(interval) IS
'Severity and text of the problem lock_blocked: which session holds the refresh lock without '
'refreshing, which lock a refresh has waited for longer than p_wait, which session keeps ticks '
'from beginning (blocks_ticks). No row: no problem.';

REVOKE ALL ON FUNCTION analytics.lock_blocked_problem(interval) FROM public;
