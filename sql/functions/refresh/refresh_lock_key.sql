-- Names the advisory lock that lets one refresh run at a time in this database.

CREATE OR REPLACE FUNCTION kpi_engine.refresh_lock_key()
RETURNS bigint
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN hashtextextended('teloo-analytics refresh', 0);

COMMENT ON FUNCTION kpi_engine.refresh_lock_key() IS
'Key of the advisory lock that a refresh holds. Functions hold it for their transaction; '
'only analytics.work() and analytics.rebuild(), which commit between their steps, hold it for '
'their session.';

REVOKE ALL ON FUNCTION kpi_engine.refresh_lock_key() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.refresh_lock_key() TO analytics_operador, analytics_scheduler;
