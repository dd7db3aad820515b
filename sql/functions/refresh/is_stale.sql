-- Tells whether the last success of a view is too long ago.
--
-- The limit is the one of the health rule stale: a daily refresh and two hours of grace.

CREATE OR REPLACE FUNCTION kpi_engine.is_stale(
    p_last_success timestamptz, p_at timestamptz DEFAULT analytics.now()
)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN p_at - p_last_success > interval '26 hours';

COMMENT ON FUNCTION kpi_engine.is_stale(timestamptz, timestamptz) IS
'True if at p_at the last success of a view was over 26 hours ago. NULL before the first.';

REVOKE ALL ON FUNCTION kpi_engine.is_stale(timestamptz, timestamptz) FROM public;
