-- Writes the line of the refresh log for a job whose run could not write it.
--
-- Invariant: the broken transaction lost its own lines. This line is all that remains of that run.

CREATE OR REPLACE FUNCTION kpi_engine.log_broken_job(
    p_job kpi_engine.refresh_jobs, p_message text, p_sqlstate text
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $log_broken_job$
DECLARE
    v_line kpi_engine.refresh_log;
BEGIN
    v_line.run_id := p_job.run_id;
    v_line.triggered_by := p_job.triggered_by;
    v_line.requested_by := p_job.requested_by;
    v_line.mode := 'none';
    v_line.started_at := p_job.started_at;
    v_line.finished_at := p_job.finished_at;
    v_line.refresh_status := 'ERROR';
    v_line.error_message := p_message;
    v_line.error_sqlstate := p_sqlstate;
    PERFORM kpi_engine.log_refresh(v_line);
END;
$log_broken_job$;

COMMENT ON FUNCTION kpi_engine.log_broken_job(kpi_engine.refresh_jobs, text, text) IS
'Stores the run of a job that was broken off, as an error. Internal to '
'kpi_engine.close_orphaned_jobs() and fail_refresh_job().';

REVOKE ALL ON FUNCTION kpi_engine.log_broken_job(kpi_engine.refresh_jobs, text, text) FROM public;
