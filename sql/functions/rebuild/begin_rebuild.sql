-- Begins a rebuild in steps, or continues one that was interrupted.
--
-- Invariant: a rebuild that began in another zone or by other rules is given up.
-- SECURITY DEFINER: operators do not own the derived tables.

CREATE OR REPLACE FUNCTION kpi_engine.begin_rebuild(p_restart boolean)
RETURNS integer[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $begin_rebuild$
BEGIN
    PERFORM kpi_engine.require_refresh_lock();
    IF NOT EXISTS (SELECT FROM kpi_engine.engine_state) THEN
        PERFORM kpi_engine.raise_incomplete_restore();
    END IF;
    PERFORM kpi_engine.settle();
    IF p_restart OR NOT EXISTS (
        SELECT FROM kpi_engine.rebuild_batches
        WHERE
            rebuild_batches.time_zone = analytics.setting('time_zone')
            AND rebuild_batches.rules_checksum IS NOT DISTINCT FROM kpi_engine.rules_checksum()
    ) THEN
        PERFORM kpi_engine.plan_rebuild();
        RAISE LOG 'teloo-analytics: rebuild begun';
    ELSE
        RAISE LOG 'teloo-analytics: going on with the rebuild that was interrupted';
    END IF;
    RETURN ARRAY(
        SELECT rebuild_batches.batch
        FROM kpi_engine.rebuild_batches
        WHERE rebuild_batches.finished_at IS NULL
        ORDER BY rebuild_batches.batch
    );
END;
$begin_rebuild$;

COMMENT ON FUNCTION kpi_engine.begin_rebuild(boolean) IS
'Begins a rebuild, or goes on with an interrupted one unless p_restart; returns the numbers of the '
'batches that are left. Internal to analytics.rebuild().';

REVOKE ALL ON FUNCTION kpi_engine.begin_rebuild(boolean) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.begin_rebuild(boolean)
TO analytics_operador, analytics_scheduler;
