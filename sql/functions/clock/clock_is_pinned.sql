-- Tells whether SET analytics.now pins the clock of the package.

CREATE OR REPLACE FUNCTION kpi_engine.clock_is_pinned()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
-- After RESET a custom parameter is '' and not NULL.
RETURN coalesce(current_setting('analytics.now', true), '') <> '';

COMMENT ON FUNCTION kpi_engine.clock_is_pinned() IS
'True while SET analytics.now pins analytics.now(), whether that is allowed or not. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.clock_is_pinned() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.clock_is_pinned() TO analytics_lector, analytics_operador;
