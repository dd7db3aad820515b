-- Lists the sessions that hold the refresh lock, and says which of them are refreshes.
--
-- Invariant: any login can take an advisory lock, and can show a start in a second one. So a
-- session counts as a refresh only if its role may refresh, or if it is inside our code. A lock on
-- kpi_engine.refresh_lock shows the latter: only the owner may take it. Each other session is a
-- stranger, whatever locks it holds.

CREATE OR REPLACE FUNCTION analytics.lock_holders()
RETURNS TABLE (
    pid integer,
    role_name text,
    application text,
    is_stranger boolean,
    is_in_our_code boolean,
    started_at timestamptz
)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
ROWS 1
SET search_path = pg_catalog, pg_temp
AS $lock_holders$
BEGIN
    -- PL/pgSQL keeps the plan: a tick calls this five times.
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT pg_locks.*
        FROM pg_locks
        WHERE
            pg_locks.granted
            AND (
                pg_locks.locktype = 'advisory'
                OR pg_locks.relation = 'kpi_engine.refresh_lock'::regclass
                AND pg_locks.mode = 'ExclusiveLock'
            )
            AND pg_locks.database = (
                SELECT pg_database.oid
                FROM pg_database
                WHERE pg_database.datname = current_database()
            )
    ),

    holder AS (
        SELECT DISTINCT
            held.pid,
            EXISTS (
                SELECT FROM held AS inside
                WHERE inside.locktype = 'relation' AND inside.pid = held.pid
            ) AS is_in_our_code
        FROM held
        WHERE
            held.locktype = 'advisory'
            AND held.objsubid = 1
            AND (held.classid::bigint << 32) | held.objid::bigint = kpi_engine.refresh_lock_key()
    )

    SELECT
        holder.pid,
        pg_get_userbyid(session.usesysid)::text,
        session.application_name,
        NOT holder.is_in_our_code AND NOT (
            pg_has_role(session.usesysid, 'analytics_owner', 'MEMBER')
            OR pg_has_role(session.usesysid, 'analytics_operador', 'MEMBER')
            OR pg_has_role(session.usesysid, 'analytics_scheduler', 'MEMBER')
            OR has_function_privilege(
                session.usesysid, 'analytics.refresh_all_mv(boolean)', 'EXECUTE')
            OR has_function_privilege(session.usesysid, 'analytics.work()', 'EXECUTE')
        ),
        holder.is_in_our_code,
        (
            SELECT min(shown.instant)
            FROM held AS start
            CROSS JOIN LATERAL (
                SELECT
                    timestamptz '2020-01-01 00:00:00Z'
                    + start.objid::bigint * interval '1 second' AS instant
            ) AS shown
            WHERE
                start.locktype = 'advisory'
                AND start.pid = holder.pid
                AND start.objsubid = 2
                AND start.classid = kpi_engine.refresh_start_lock_class()
                AND shown.instant <= clock_timestamp() + kpi_engine.clock_tolerance()
        )
    FROM holder
    CROSS JOIN LATERAL pg_stat_get_activity(holder.pid) AS session
    -- A prepared transaction has no process, and NULL would be all sessions.
    WHERE holder.pid IS NOT NULL AND session.usesysid IS NOT NULL;
END;
$lock_holders$;

COMMENT ON FUNCTION analytics.lock_holders() IS
'The sessions that hold the refresh lock: role, application, whether it is a stranger, whether it '
'is inside a transaction of a refresh, and the start that it shows. Internal.';

REVOKE ALL ON FUNCTION analytics.lock_holders() FROM public;
