-- Begins a rebuild in steps, or continues one that was interrupted.
--
-- Invariant: a rebuild that began in another zone or by other rules is given up. So is one that a
-- later reason or a gap of change capture made void. So is one that began before a forced job was
-- claimed, or an hour before a person asked: that person wants what changed unnoticed since.
-- SECURITY DEFINER: operators do not own the derived tables.

CREATE OR REPLACE FUNCTION kpi_engine.begin_rebuild(
    p_restart boolean, p_job_id bigint DEFAULT NULL
)
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
DECLARE
    v_planned_since constant timestamptz := CASE
        WHEN p_restart THEN 'infinity'
        WHEN p_job_id IS NOT NULL THEN (
            SELECT CASE WHEN refresh_jobs.force THEN refresh_jobs.first_started_at END
            FROM kpi_engine.refresh_jobs
            WHERE refresh_jobs.job_id = p_job_id
        )
        WHEN p_restart IS NULL THEN clock_timestamp() - interval '1 hour'
    END;
BEGIN
    PERFORM kpi_engine.require_refresh_lock();
    IF NOT EXISTS (SELECT FROM kpi_engine.engine_state) THEN
        PERFORM kpi_engine.raise_incomplete_restore();
    END IF;
    PERFORM kpi_engine.settle();
    IF NOT EXISTS (
        SELECT FROM kpi_engine.rebuild_batches
        INNER JOIN kpi_engine.engine_state
            ON engine_state.reasons_noted = rebuild_batches.reasons_noted
        WHERE
            rebuild_batches.batch = 1
            AND (v_planned_since IS NULL OR rebuild_batches.planned_at >= v_planned_since)
            AND NOT kpi_engine.misses_changes(
                rebuild_batches.capture_signature, kpi_engine.capture_signature()
            )
            AND rebuild_batches.time_zone = analytics.setting('time_zone')
            AND rebuild_batches.rules_checksum IS NOT DISTINCT FROM kpi_engine.rules_checksum()
    ) THEN
        PERFORM kpi_engine.hold_source();
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

COMMENT ON FUNCTION kpi_engine.begin_rebuild(boolean, bigint) IS
'Begins a rebuild, or goes on with an interrupted one that is still right; returns the numbers of '
'the batches that are left. p_restart: true never goes on; NULL, only with one of the last hour; '
'p_job_id instead: the job for which it is, which, if forced, goes on with its own only. Internal '
'to kpi_engine.run_rebuild_steps().';

REVOKE ALL ON FUNCTION kpi_engine.begin_rebuild(boolean, bigint) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.begin_rebuild(boolean, bigint)
TO analytics_operador, analytics_scheduler;
