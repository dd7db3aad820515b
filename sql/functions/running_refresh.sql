-- The refresh that is running now, as far as other sessions can know it.
--
-- Invariant: pid is NULL exactly when nobody holds the refresh lock. A refresh shows its start
-- in a second lock (analytics.show_refresh_start), since nothing else of an open transaction is
-- visible; a job in state RUNNING is that of the session that claimed it, and of no other.

CREATE OR REPLACE FUNCTION analytics.running_refresh(
    OUT pid integer, OUT started_at timestamptz, OUT job_id bigint, OUT requested_by text
)
RETURNS record
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $running_refresh$
    SELECT
        holder.pid,
        coalesce(
            job.started_at,
            (
                SELECT min(
                    timestamptz '2020-01-01 00:00:00Z' + start.objid::bigint * interval '1 second'
                )
                FROM pg_locks AS start
                WHERE
                    start.locktype = 'advisory'
                    AND start.database = holder.database
                    AND start.pid = holder.pid
                    AND start.objsubid = 2
                    AND start.classid = analytics.refresh_start_lock_class()
            )
        ),
        job.job_id,
        job.requested_by
    FROM (SELECT analytics.refresh_lock_key() AS key) AS refresh_lock
    LEFT JOIN pg_locks AS holder
        ON holder.locktype = 'advisory'
        AND holder.granted
        AND holder.objsubid = 1
        AND holder.database = (
            SELECT pg_database.oid FROM pg_database WHERE pg_database.datname = current_database()
        )
        AND (holder.classid::bigint << 32) | holder.objid::bigint = refresh_lock.key
    LEFT JOIN analytics.refresh_jobs AS job
        ON job.state = 'RUNNING'
        AND job.pid = holder.pid
        AND job.started_at >= pg_postmaster_start_time()
    ORDER BY job.job_id DESC NULLS LAST
    LIMIT 1;
$running_refresh$;

COMMENT ON FUNCTION analytics.running_refresh() IS
'The session that holds the refresh lock, since when, and its job where it has one. pid is '
'NULL when no refresh is running, started_at when it is not known.';

REVOKE ALL ON FUNCTION analytics.running_refresh() FROM public;
