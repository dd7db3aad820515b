-- Lists the views that keep their contents although a refresh went well, and whether to try again.
--
-- Invariant: such a view waits for no refresh, so it must not slow the refreshes of the others. It
-- is due when another result is likely: the gate holds it, and what it holds is accepted by now or
-- the gate is off. Or the tables of another service could not be read, refresh_retry_minutes ago.
-- An end in the future does not count: a clock was wrong.

CREATE OR REPLACE FUNCTION kpi_engine.held_views()
RETURNS TABLE (view_name text, is_due boolean)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $held_views$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plans: each tick calls this.
    RETURN QUERY
        SELECT
            held.view_name,
            analytics.setting('gate') = 'off' OR bool_and(kpi_engine.is_accepted(
                held.view_name, held.rule, held.column_name, held.period, held.before, held.after))
        FROM kpi_engine.gate_holds AS held
        WHERE held.view_name <> 'changes'
        GROUP BY held.view_name
        UNION ALL
        SELECT
            view_state.view_name,
            last_try.finished_at > analytics.now() + kpi_engine.clock_tolerance()
            OR last_try.finished_at <= analytics.now()
            - analytics.setting('refresh_retry_minutes')::integer * interval '1 minute'
        FROM kpi_engine.view_state
        CROSS JOIN LATERAL (
            SELECT refresh_log.error_sqlstate, refresh_log.finished_at
            FROM kpi_engine.refresh_log
            WHERE refresh_log.view_name = view_state.view_name
            ORDER BY refresh_log.log_id DESC
            LIMIT 1
        ) AS last_try
        WHERE last_try.error_sqlstate = 'TA002';
END;
$held_views$;

COMMENT ON FUNCTION kpi_engine.held_views() IS
'Views that the gate holds back, or whose tables of other services could not be read, and whether '
'they are worth another refresh although nothing changed. Internal to kpi_engine.change_wait().';

REVOKE ALL ON FUNCTION kpi_engine.held_views() FROM public;
