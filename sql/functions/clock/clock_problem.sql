-- Tells whether the clock was or is wrong.
--
-- Invariant: a success in the future says nothing about the age of the data, so it is unhealthy. A
-- stamp that a tick made void is reported for an hour.

CREATE OR REPLACE FUNCTION kpi_engine.clock_problem(OUT severity text, OUT message text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $clock_problem$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each tick calls this.
    SELECT
        CASE WHEN found.last_success_at IS NOT NULL THEN 'unhealthy' ELSE 'degraded' END,
        CASE
            WHEN found.last_success_at IS NOT NULL
                THEN format(
                    'the last refresh is stamped %s, in the future: the clock was wrong, or is. A '
                    'refresh sets it right: SELECT * FROM refresh_all_mv(); see to the server''s '
                    'clock (NTP)', kpi_engine.iso_instant(found.last_success_at))
            WHEN found.last_tick_at IS NOT NULL
                THEN format(
                    'the last tick is stamped %s, in the future: the clock was wrong, or is. The '
                    'next tick sets it right; see to the server''s clock (NTP)',
                    kpi_engine.iso_instant(found.last_tick_at))
            ELSE format(
                'the clock was wrong, or is: at %s there were, in the future: %s. They are void; see '
                'to the server''s clock (NTP)',
                kpi_engine.iso_instant(found.clock_fault_at), found.clock_fault)
        END
    INTO severity, message
    FROM (
        SELECT
            (
                SELECT max(view_state.last_success_at)
                FROM kpi_engine.view_state
                WHERE
                    view_state.last_success_at
                    > greatest(analytics.now(), clock_timestamp()) + kpi_engine.clock_tolerance()
            ) AS last_success_at,
            CASE
                WHEN scheduler_state.last_tick_at > clock_timestamp() + kpi_engine.clock_tolerance()
                    THEN scheduler_state.last_tick_at
            END AS last_tick_at,
            CASE
                WHEN
                    scheduler_state.clock_fault_at BETWEEN analytics.now() - interval '1 hour'
                    AND analytics.now() + kpi_engine.clock_tolerance()
                    THEN scheduler_state.clock_fault_at
            END AS clock_fault_at,
            scheduler_state.clock_fault
        FROM kpi_engine.scheduler_state
    ) AS found
    WHERE num_nonnulls(found.last_success_at, found.last_tick_at, found.clock_fault_at) > 0;
END;
$clock_problem$;

COMMENT ON FUNCTION kpi_engine.clock_problem() IS
'Severity and text of the problem clock: stamps in the future, now or found by a tick in the last '
'hour; NULL: there is none.';

REVOKE ALL ON FUNCTION kpi_engine.clock_problem() FROM public;
