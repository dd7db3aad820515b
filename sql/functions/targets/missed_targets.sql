-- The missed targets that are alerts now, one row for each closed period.
--
-- Invariant: the subject of a period is always the same, whatever the words of its message. They
-- have no figures of a view that only operators may read.

CREATE OR REPLACE FUNCTION kpi_engine.missed_targets()
RETURNS TABLE (subject text, message text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
ROWS 1
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $missed_targets$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    RETURN QUERY
        SELECT
            format('%s.%s %s', missed.view_name, missed.column_name, missed.period),
            format(
                '%s: %s in the closed %s, the target is %s or %s (%s.%s). SELECT * FROM '
                'analytics.target_results WHERE is_missed; lists what was missed',
                coalesce(kpi_column.label_es, missed.column_name),
                CASE
                    WHEN kpi_engine.is_for_readers(missed.view_name)
                        THEN trim_scale(missed.figure)::text
                    ELSE 'another figure'
                END,
                CASE kpi.grain
                    WHEN 'month' THEN 'month ' || to_char(missed.period, 'YYYY-MM')
                    WHEN 'week' THEN 'week of ' || missed.period
                    ELSE 'day ' || missed.period
                END,
                trim_scale(missed.target),
                CASE missed.better WHEN 'up' THEN 'more' ELSE 'less' END,
                missed.view_name,
                missed.column_name
            )
        FROM kpi_engine.target_results AS missed
        LEFT JOIN LATERAL kpi_engine.kpi_views(missed.view_name) AS kpi ON true
        LEFT JOIN LATERAL kpi_engine.kpi_columns(kpi.relation) AS kpi_column
            ON kpi_column.column_name = missed.column_name
        WHERE
            missed.is_alert
            -- Not in the future, by a clock that was ahead.
            AND missed.noted_at BETWEEN analytics.now() - interval '1 day' AND analytics.now();
END;
$missed_targets$;

COMMENT ON FUNCTION kpi_engine.missed_targets() IS
'The missed targets of the last day that are alerts: subject (view, column, period) and message. '
'Internal to analytics.health_problems() and kpi_engine.update_alerts().';

REVOKE ALL ON FUNCTION kpi_engine.missed_targets() FROM public;
