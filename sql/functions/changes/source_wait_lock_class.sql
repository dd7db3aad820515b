-- First key of the advisory lock in which a session shows since when it waits for a source table.

CREATE OR REPLACE FUNCTION kpi_engine.source_wait_lock_class()
RETURNS oid
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN 1952803952::oid;

COMMENT ON FUNCTION kpi_engine.source_wait_lock_class() IS
'Class of the two-key advisory lock whose second key is the moment since when a session waits for '
'a source table, in seconds since 2020-01-01 UTC. Internal to kpi_engine.hold_source() and '
'analytics.lock_blocked_problem().';

REVOKE ALL ON FUNCTION kpi_engine.source_wait_lock_class() FROM public;
