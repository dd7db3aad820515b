-- Tells whether a closing counts at this moment.
--
-- A clock that was ahead closes periods that are not over. One that is behind makes nothing undone.

CREATE OR REPLACE FUNCTION kpi_engine.closing_counts(p_closing kpi_engine.closings)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN coalesce((p_closing).noted_at, (p_closing).closed_at) <= analytics.now();

COMMENT ON FUNCTION kpi_engine.closing_counts(kpi_engine.closings) IS
'False for a closing that was noted in the future, by a clock that was wrong. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.closing_counts(kpi_engine.closings) FROM public;
