-- Says which counter of GET /metrics counts a line of the refresh log.
--
-- Invariant: only this function says it, for present lines and for trimmed ones. The line of a view
-- that was refreshed belongs to no counter.

CREATE OR REPLACE FUNCTION kpi_engine.counted_as(
    p_view_name text,
    p_triggered_by text,
    p_mode text,
    p_status text,
    p_sqlstate text,
    OUT metric text,
    OUT labels jsonb
)
RETURNS record
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $counted_as$
    SELECT
        CASE
            WHEN p_view_name IS NULL THEN 'refresh_runs_total'
            WHEN p_status = 'ERROR' THEN 'refresh_failures_total'
        END,
        CASE
            WHEN p_view_name IS NULL THEN jsonb_build_object(
                'trigger', p_triggered_by, 'mode', p_mode, 'status', p_status)
            ELSE jsonb_build_object('view', p_view_name, 'sqlstate', p_sqlstate)
        END;
$counted_as$;

COMMENT ON FUNCTION kpi_engine.counted_as(text, text, text, text, text) IS
'Name without prefix and labels of the counter that counts a line of analytics.refresh_log; NULL '
'where none does. Internal to kpi_engine.counters() and trim_logs().';

REVOKE ALL ON FUNCTION kpi_engine.counted_as(text, text, text, text, text) FROM public;
