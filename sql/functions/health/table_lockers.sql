-- Lists the sessions that lock some tables: since when, and with which statement.
--
-- Invariant: it shows no password of a statement, and at most its first 200 characters. It shows a
-- statement of another role only to callers who may see it in pg_stat_activity.
-- SECURITY INVOKER: it shows what the current role sees in pg_stat_activity.

CREATE OR REPLACE FUNCTION kpi_engine.table_lockers(p_relations oid[])
RETURNS text
LANGUAGE sql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $table_lockers$
    WITH held AS (
        SELECT
            pg_locks.pid,
            pg_locks.virtualtransaction,
            string_agg(
                DISTINCT pg_locks.relation::regclass::text, ', '
                ORDER BY pg_locks.relation::regclass::text
            ) AS tables
        FROM pg_locks
        WHERE
            pg_locks.locktype = 'relation'
            AND pg_locks.granted
            AND pg_locks.relation = ANY (p_relations)
            AND pg_locks.database = (
                SELECT pg_database.oid FROM pg_database
                WHERE pg_database.datname = current_database()
            )
            AND pg_locks.pid IS DISTINCT FROM pg_backend_pid()
        GROUP BY pg_locks.pid, pg_locks.virtualtransaction
    )

    SELECT string_agg(
        CASE
            WHEN held.pid IS NULL THEN format(
                '%s: a prepared transaction: SELECT * FROM pg_prepared_xacts;', held.tables
            )
            ELSE format(
                '%s: process %s of %s (%s), %s, in a transaction for %s: %s',
                held.tables,
                held.pid,
                coalesce(activity.usename::text, activity.backend_type, 'a hidden role'),
                coalesce(nullif(activity.application_name, ''), 'no application_name'),
                coalesce(activity.state, 'its state is hidden from this role'),
                coalesce(
                    date_trunc('second', clock_timestamp() - activity.xact_start)::text,
                    'a hidden time'
                ),
                left(regexp_replace(
                    regexp_replace(
                        coalesce(activity.query, ''),
                        -- Nobody knows where nested quotes end.
                        '(password\s*=?\s*)([eu]?&?''|\$).*', '\1…', 'i'
                    ),
                    '\s+', ' ', 'g'
                ), 200)
            )
        END,
        E'\n' ORDER BY activity.xact_start, held.tables
    )
    FROM held
    LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid;
$table_lockers$;

COMMENT ON FUNCTION kpi_engine.table_lockers(oid[]) IS
'A line for each session that has a lock on one of these tables: the tables, process, role, '
'application, since when, its statement. NULL: none. For messages of migrate and of '
'analytics.apply_change_capture().';

REVOKE ALL ON FUNCTION kpi_engine.table_lockers(oid[]) FROM public;
