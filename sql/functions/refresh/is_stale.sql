-- Tells whether the last success of a view is too long ago.
--
-- The limit is the one of the health rule stale: a daily refresh and two hours of grace.

CREATE OR REPLACE FUNCTION kpi_engine.is_stale(p_state kpi_engine.view_state)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN analytics.now() - (p_state).last_success_at > interval '26 hours';

COMMENT ON FUNCTION kpi_engine.is_stale(kpi_engine.view_state) IS
'True if the last success of a view is over 26 hours old. NULL before the first.';

REVOKE ALL ON FUNCTION kpi_engine.is_stale(kpi_engine.view_state) FROM public;
