-- Whether the last success of a view is too long ago.
--
-- The limit is that of the health rule stale: a daily refresh and two hours of grace.

CREATE OR REPLACE FUNCTION analytics.is_stale(p_state analytics.view_state)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN analytics.now() - (p_state).last_success_at > interval '26 hours';

COMMENT ON FUNCTION analytics.is_stale(analytics.view_state) IS
'True when the last success of a view is over 26 hours old. NULL before the first.';

REVOKE ALL ON FUNCTION analytics.is_stale(analytics.view_state) FROM public;
