-- Tells since when no crash can have emptied an unlogged table.
--
-- Invariant: another value after each crash of the server, also if the postmaster survives it: a
-- killed session ends all others, and the recovery resets the statistics. The start of the
-- postmaster changes after a restart without a crash, too. Then everything is computed again
-- without need, if a source table is unlogged.

CREATE OR REPLACE FUNCTION kpi_engine.unlogged_since()
RETURNS text
LANGUAGE sql
STABLE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $unlogged_since$
    SELECT concat_ws(
        ' ',
        extract(EPOCH FROM pg_postmaster_start_time()),
        extract(EPOCH FROM pg_stat_get_bgwriter_stat_reset_time())
    );
$unlogged_since$;

COMMENT ON FUNCTION kpi_engine.unlogged_since() IS
'Another value after each crash or restart of the server: a crash empties unlogged tables, and no '
'trigger fires. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.unlogged_since() FROM public;
