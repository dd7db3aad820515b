-- Lists the faults of our jobs of pg_cron, in the database where pg_cron lives.
--
-- Invariant: call it only in a database that has pg_cron. p_database is the database of the jobs.
-- If that is another one, scripts/doctor.py runs this query from the file in the database of
-- pg_cron. p_role is the role with which migrate scheduled the jobs, or NULL. p_ticks says whether
-- ticks come, from any program.

CREATE OR REPLACE FUNCTION kpi_engine.cron_problems(p_database text, p_role text, p_ticks boolean)
RETURNS TABLE (status text, message text, fixes text[])
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $cron_problems$
    WITH wanted AS (
        SELECT jobs.* FROM kpi_engine.cron_jobs(p_database) AS jobs
    ),

    here AS (
        SELECT
            current_database() = p_database AS is_home,
            'in database ' || current_database() AS place,
            CASE
                WHEN current_database() <> p_database THEN '  -- in database ' || current_database()
                ELSE ''
            END AS note
    ),

    job AS (
        SELECT
            job.jobid AS job_id,
            job.command,
            job.schedule,
            job.active AS is_active,
            job.username::text AS role_name,
            wanted.job_name,
            wanted.schedule AS wanted_schedule,
            row_number() OVER (
                PARTITION BY job.command
                ORDER BY job.username <> coalesce(p_role, 'analytics_scheduler'), job.jobid
            ) AS number,
            pg_roles.rolcanlogin AS can_log_in,
            last_run.message AS failure
        FROM cron.job
        INNER JOIN wanted USING (command)
        LEFT JOIN pg_roles ON pg_roles.rolname = job.username
        LEFT JOIN LATERAL (
            -- The last run that ended.
            SELECT CASE job_run_details.status
                WHEN 'failed'
                    THEN btrim(coalesce(job_run_details.return_message, ''), E' \t\n\r')
            END AS message
            FROM cron.job_run_details
            WHERE
                job_run_details.jobid = job.jobid
                AND job_run_details.status IN ('succeeded', 'failed')
            ORDER BY job_run_details.runid DESC
            LIMIT 1
        ) AS last_run ON true
        WHERE job.database = p_database
    ),

    finding AS (
        SELECT
            '' AS job_name,
            0::bigint AS number,
            1 AS place,
            -- It starts a moment after the server.
            CASE WHEN p_ticks THEN 'warning' ELSE 'wrong' END AS status,
            'pg_cron''s launcher is not running: no job runs' AS message,
            ARRAY['-- Restart the server, and look into its log for the reason.'] AS fixes
        FROM pg_roles
        WHERE
            pg_roles.rolname = current_user
            AND (pg_roles.rolsuper OR pg_has_role('pg_read_all_stats', 'MEMBER'))
            AND NOT EXISTS (
                SELECT FROM pg_stat_activity WHERE pg_stat_activity.backend_type LIKE 'pg_cron%'
            )
        UNION ALL
        SELECT
            wanted.job_name, 0, 2, 'wrong',
            format('the job %s is missing', wanted.job_name),
            ARRAY[CASE
                WHEN here.is_home THEN '-- $ make migrate'
                ELSE format('%s;  -- %s, as a superuser', wanted.elsewhere, here.place)
            END]
        FROM wanted
        CROSS JOIN here
        WHERE wanted.command NOT IN (SELECT job.command FROM job)
        UNION ALL
        SELECT
            job.job_name, job.number, 3, 'warning',
            format(
                '%s is scheduled again, by job %s of %s: harmless, not needed',
                job.command, job.job_id, job.role_name
            ),
            ARRAY[format('SELECT cron.unschedule(%s);%s', job.job_id, here.note)]
        FROM job
        CROSS JOIN here
        WHERE job.number > 1
        UNION ALL
        SELECT
            job.job_name, job.number, 4, 'wrong',
            format('the job %s is not active', job.job_name),
            ARRAY[format(
                'SELECT cron.alter_job(%s, active := true);%s', job.job_id, here.note
            )]
        FROM job
        CROSS JOIN here
        WHERE job.number = 1 AND NOT job.is_active
        UNION ALL
        SELECT
            job.job_name, job.number, 5, 'wrong',
            format(
                'the job %s runs at %L instead of every minute', job.job_name, job.schedule
            ),
            ARRAY[format(
                'SELECT cron.alter_job(%s, schedule := %L);%s', job.job_id, job.wanted_schedule,
                here.note
            )]
        FROM job
        CROSS JOIN here
        WHERE job.number = 1 AND job.schedule <> job.wanted_schedule
        UNION ALL
        SELECT
            job.job_name, job.number, 6, 'wrong',
            format(
                'the role of the job %s, %s, is gone: it can take pg_cron down', job.job_name,
                job.role_name
            ),
            ARRAY[
                format('DELETE FROM cron.job WHERE jobid = %s;  -- as a superuser', job.job_id),
                '-- $ make migrate'
            ]
        FROM job
        WHERE job.number = 1 AND job.can_log_in IS NULL
        UNION ALL
        SELECT
            job.job_name, job.number, 7, 'wrong',
            format(
                'the role of the job %s, %s, may not log in', job.job_name, job.role_name
            ),
            ARRAY[format('ALTER ROLE %I LOGIN;', job.role_name)]
        FROM job
        WHERE
            job.number = 1
            AND NOT job.can_log_in
            -- For our own roles the check of their attributes says so.
            AND job.role_name NOT IN (SELECT own.role_name FROM kpi_engine.package_roles() AS own)
        UNION ALL
        SELECT
            job.job_name, job.number, 8, 'wrong',
            format('the last run of the job %s failed: %s', job.job_name, job.failure),
            ARRAY[
                format(
                    'TABLE cron.job_run_details ORDER BY jobid = %s DESC, runid DESC LIMIT 10;%s',
                    job.job_id, coalesce(nullif(here.note, ''), '  -- the last runs')
                )
            ] || CASE
                WHEN job.failure LIKE '%connection%' THEN ARRAY[
                    '-- In postgresql.conf: cron.use_background_workers = on. '
                    || 'Then restart the server.'
                ]
            END
        FROM job
        CROSS JOIN here
        WHERE job.number = 1 AND job.failure IS NOT NULL
        UNION ALL
        SELECT
            'well', 0, 9, 'ok',
            CASE
                WHEN count(job.job_id) = 0 THEN 'not in use; something else ticks'
                ELSE format(
                    '%s jobs as %s', count(job.job_id),
                    string_agg(DISTINCT job.role_name, ', ' ORDER BY job.role_name)
                )
            END,
            ARRAY[]::text[]
        FROM job
    )

    SELECT
        finding.status,
        finding.message,
        finding.fixes
    FROM finding
    CROSS JOIN here
    -- In another database our jobs may be, but need not, where ticks come all the same.
    WHERE here.is_home OR NOT p_ticks OR finding.status = 'ok' OR EXISTS (SELECT FROM job)
    ORDER BY finding.job_name = 'well', finding.job_name, finding.number, finding.place;
$cron_problems$;

COMMENT ON FUNCTION kpi_engine.cron_problems(text, text, boolean) IS
'What is wrong with the jobs that pg_cron runs for a database: missing, not active, at another '
'time, twice, with a role that is gone, failing. Internal to the doctor.';

REVOKE ALL ON FUNCTION kpi_engine.cron_problems(text, text, boolean) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.cron_problems(text, text, boolean) TO analytics_scheduler;
