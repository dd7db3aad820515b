-- Ends the alerts of a target that somebody changes or removes.
--
-- Invariant: their results stay as they were noted, and never become alerts again.

CREATE OR REPLACE FUNCTION kpi_engine.end_target_alerts(
    p_view_name text, p_column_name text, p_first_period date
)
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $end_target_alerts$
    UPDATE kpi_engine.target_results SET is_alert = false
    WHERE
        target_results.is_alert
        AND target_results.view_name = p_view_name
        AND target_results.column_name = p_column_name
        AND target_results.period >= p_first_period
        AND target_results.period < coalesce(
            (
                SELECT min(targets.first_period)
                FROM kpi_engine.targets
                WHERE
                    targets.view_name = p_view_name
                    AND targets.column_name = p_column_name
                    AND targets.first_period > p_first_period
            ),
            'infinity'
        );
$end_target_alerts$;

COMMENT ON FUNCTION kpi_engine.end_target_alerts(text, text, date) IS
'Ends the alerts about the periods for which a target holds. Internal to analytics.set_target() '
'and analytics.remove_target().';

REVOKE ALL ON FUNCTION kpi_engine.end_target_alerts(text, text, date) FROM public;
