-- Notes that a claimed refresh did not end, in its job and in the refresh log.
--
-- SECURITY DEFINER: the scheduler's role writes nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.fail_refresh_job(
    p_job_id bigint, p_message text, p_sqlstate text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $fail_refresh_job$
DECLARE
    v_job kpi_engine.refresh_jobs;
BEGIN
    UPDATE kpi_engine.refresh_jobs SET
        state = 'ERROR',
        error = format('%s (SQLSTATE %s)', p_message, p_sqlstate),
        run_id = nextval('kpi_engine.refresh_run_id_seq'),
        finished_at = clock_timestamp()
    WHERE refresh_jobs.job_id = p_job_id AND refresh_jobs.state = 'RUNNING'
    RETURNING refresh_jobs.* INTO v_job;
    IF FOUND THEN
        PERFORM kpi_engine.log_broken_job(v_job, p_message, p_sqlstate);
    END IF;
END;
$fail_refresh_job$;

COMMENT ON FUNCTION kpi_engine.fail_refresh_job(bigint, text, text) IS
'Ends a job in state RUNNING as ERROR, with what broke it off. Internal to analytics.work().';

REVOKE ALL ON FUNCTION kpi_engine.fail_refresh_job(bigint, text, text) FROM public;
