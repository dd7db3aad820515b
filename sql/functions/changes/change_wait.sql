-- Says whether changes are pending, and since when at most.
--
-- Invariant: each pending change was committed after the returned instant, so none has waited for
-- longer. The change log has no instants, because they would cost the writers. But the last refresh
-- of each view took all that was committed before it, and the last tick that saw no pending change
-- came before all that are pending now. So the oldest one has waited for up to a minute less.
-- A view whose last refresh failed shows an older state, and counts as a pending change. A view
-- that is held (kpi_engine.held_views) counts only when it is due. It never says since when.
-- Stamps in the future do not count: a clock was wrong.

CREATE OR REPLACE FUNCTION kpi_engine.change_wait(
    OUT is_waiting boolean, OUT since timestamptz, OUT waited interval
)
RETURNS record
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $change_wait$
DECLARE
    v_latest constant timestamptz := analytics.now() + kpi_engine.clock_tolerance();
BEGIN
    -- PL/pgSQL keeps the plans: each tick calls this.
    is_waiting := EXISTS (SELECT FROM kpi_engine.change_log)
        OR EXISTS (SELECT FROM kpi_engine.pending_changes WHERE NOT pending_changes.is_applied)
        OR EXISTS (SELECT FROM kpi_engine.lost_changes)
        OR EXISTS (
            SELECT FROM kpi_engine.view_state
            CROSS JOIN kpi_engine.engine_state
            LEFT JOIN kpi_engine.held_views() AS held ON held.view_name = view_state.view_name
            WHERE
                view_state.published_version < engine_state.data_version
                AND held.is_due IS NOT FALSE
        );
    IF NOT is_waiting THEN
        RETURN;
    END IF;
    SELECT max(known.instant) INTO since
    FROM (
        SELECT min(view_state.last_success_at) AS instant
        FROM kpi_engine.view_state
        WHERE
            to_regclass(format('analytics.%I', view_state.view_name)) IS NOT NULL
            AND view_state.view_name NOT IN (
                SELECT held.view_name FROM kpi_engine.held_views() AS held
            )
        UNION ALL
        SELECT scheduler_state.no_changes_at FROM kpi_engine.scheduler_state
        UNION ALL
        SELECT scheduler_state.scheduled_since FROM kpi_engine.scheduler_state
    ) AS known
    WHERE known.instant <= v_latest;
    waited := greatest(analytics.now() - since, interval '0');
END;
$change_wait$;

COMMENT ON FUNCTION kpi_engine.change_wait() IS
'Whether changes are pending; if so, an instant before all of them, and the time since then. Both '
'are NULL if no stamp can be believed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.change_wait() FROM public;
