-- Shows the running refresh, as far as other sessions can know it.
--
-- Invariant: pid is NULL if and only if no session of the package holds the refresh lock. A
-- stranger who holds it is no refresh (analytics.lock_holders). A refresh shows its start in a
-- second lock (kpi_engine.show_refresh_start), because nothing else of an open transaction is
-- visible. A job in state RUNNING belongs to the session that claimed it, and to no other.

CREATE OR REPLACE FUNCTION analytics.running_refresh(
    OUT pid integer, OUT started_at timestamptz, OUT job_id bigint, OUT requested_by text
)
RETURNS record
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $running_refresh$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    SELECT
        holder.pid,
        coalesce(
            CASE WHEN job.started_at <= clock_timestamp() THEN job.started_at END,
            holder.started_at
        ),
        job.job_id,
        job.requested_by
    INTO pid, started_at, job_id, requested_by
    FROM (VALUES (true)) AS one_row (present)
    LEFT JOIN analytics.lock_holders() AS holder ON NOT holder.is_stranger
    LEFT JOIN kpi_engine.refresh_jobs AS job
        ON job.state = 'RUNNING'
        AND job.pid = holder.pid
        AND (
            job.started_at >= pg_postmaster_start_time()
            -- The server started while its clock was ahead.
            OR pg_postmaster_start_time() > clock_timestamp()
        )
    ORDER BY job.job_id DESC NULLS LAST
    LIMIT 1;
END;
$running_refresh$;

COMMENT ON FUNCTION analytics.running_refresh() IS
'The session that runs a refresh: its process, its start, its job if it has one, and who asked '
'for it. pid is NULL if no refresh is running, started_at if it is not known.';

REVOKE ALL ON FUNCTION analytics.running_refresh() FROM public;
