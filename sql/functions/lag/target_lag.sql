-- Says for how long changes may wait until a refresh shows them.

CREATE OR REPLACE FUNCTION kpi_engine.target_lag()
RETURNS interval
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
RETURN nullif(analytics.setting('target_lag'), 'off')::interval;

COMMENT ON FUNCTION kpi_engine.target_lag() IS
'The setting target_lag as an interval; NULL: off.';

REVOKE ALL ON FUNCTION kpi_engine.target_lag() FROM public;
