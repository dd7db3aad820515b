-- Returns the answer to a request that runs in the background.

CREATE OR REPLACE FUNCTION kpi_engine.accepted(p_job kpi_engine.refresh_jobs)
RETURNS json
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $accepted$
BEGIN
    PERFORM set_config('response.status', '202', true);
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    RETURN json_build_object(
        'success', true,
        'message', format('refresh %s is queued; it runs within a minute', p_job.job_id),
        'job_id', p_job.job_id,
        'scheduled_at', kpi_engine.iso_instant(
            date_trunc('minute', clock_timestamp()) + interval '1 minute')
    );
END;
$accepted$;

COMMENT ON FUNCTION kpi_engine.accepted(kpi_engine.refresh_jobs) IS
'Answer 202 of the HTTP API for a queued refresh: job_id and the minute in which it starts.';

REVOKE ALL ON FUNCTION kpi_engine.accepted(kpi_engine.refresh_jobs) FROM public;
