-- Lists the two jobs of pg_cron for one database.
--
-- Invariant: each job is one bare CALL, each minute (docs/scheduling.md). elsewhere is the
-- statement that schedules the job from the database of pg_cron, if that is another one. Scripts
-- read the list in this file.

CREATE OR REPLACE FUNCTION kpi_engine.cron_jobs(p_database text)
RETURNS TABLE (job_name text, command text, schedule text, elsewhere text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $cron_jobs$
    SELECT
        job.job_name,
        job.command,
        job.schedule,
        format(
            'SELECT cron.schedule_in_database(%L, %L, %L, %L, ''analytics_scheduler'')',
            job.job_name || ': ' || p_database, job.schedule, job.command, p_database
        ) AS elsewhere
    FROM (
        VALUES
        ('teloo-analytics tick', 'CALL analytics.tick()', '* * * * *'),
        ('teloo-analytics work', 'CALL analytics.work()', '* * * * *')
    ) AS job (job_name, command, schedule);
$cron_jobs$;

COMMENT ON FUNCTION kpi_engine.cron_jobs(text) IS
'The jobs of pg_cron: name, command, schedule; the statement that schedules each from another '
'database. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.cron_jobs(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.cron_jobs(text) TO analytics_scheduler;
