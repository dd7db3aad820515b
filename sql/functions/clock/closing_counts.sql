-- Tells whether a closing counts at a moment, usually now.
--
-- A clock that was ahead closes periods that are not over. One that is behind makes nothing undone.
-- Bound when created, so that the planner puts it into the queries that use it: they give
-- (SELECT analytics.now()), which is asked once, not for each row.

CREATE OR REPLACE FUNCTION kpi_engine.closing_counts(
    p_closing kpi_engine.closings, p_now timestamptz
)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN coalesce((p_closing).noted_at, (p_closing).closed_at) <= p_now;

COMMENT ON FUNCTION kpi_engine.closing_counts(kpi_engine.closings, timestamptz) IS
'False for a closing that was noted after p_now, by a clock that was wrong. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.closing_counts(kpi_engine.closings, timestamptz) FROM public;
