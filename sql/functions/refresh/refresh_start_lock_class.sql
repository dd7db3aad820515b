-- First key of the advisory lock in which a refresh shows its start.

CREATE OR REPLACE FUNCTION kpi_engine.refresh_start_lock_class()
RETURNS oid
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN 1952803951::oid;

COMMENT ON FUNCTION kpi_engine.refresh_start_lock_class() IS
'Class of the two-key advisory lock whose second key is the start of a refresh, in seconds '
'since 2020-01-01 UTC. Internal to kpi_engine.show_refresh_start() and running_refresh().';

REVOKE ALL ON FUNCTION kpi_engine.refresh_start_lock_class() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.refresh_start_lock_class() TO analytics_operador;
