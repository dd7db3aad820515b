-- Returns when the last refresh in which every view succeeded ended.
--
-- Invariant: one refresh runs at a time, so the last line written is the last to end. Only that
-- line is read, because the log may be long. A line in the future is void: a clock was wrong.

CREATE OR REPLACE FUNCTION kpi_engine.last_success_at()
RETURNS timestamptz
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $last_success_at$
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN (
        SELECT refresh_log.finished_at
        FROM kpi_engine.refresh_log
        WHERE
            refresh_log.view_name IS NULL
            AND refresh_log.refresh_status = 'SUCCESS'
            AND refresh_log.finished_at <= clock_timestamp() + kpi_engine.clock_tolerance()
        ORDER BY refresh_log.log_id DESC
        LIMIT 1
    );
END;
$last_success_at$;

COMMENT ON FUNCTION kpi_engine.last_success_at() IS
'End of the last refresh in which every view succeeded, by the wall clock; NULL before the '
'first.';

REVOKE ALL ON FUNCTION kpi_engine.last_success_at() FROM public;
