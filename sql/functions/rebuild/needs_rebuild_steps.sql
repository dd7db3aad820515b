-- Tells whether a rebuild in steps should run before a refresh.
--
-- Invariant: false if the reason would remain afterwards (no change capture). Tables that follow
-- from other derived tables take only a moment: a refresh computes them by itself.
-- SECURITY DEFINER: the scheduler's role reads nothing by itself.

CREATE OR REPLACE FUNCTION kpi_engine.needs_rebuild_steps(p_job_id bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $needs_rebuild_steps$
DECLARE
    v_stale_tables text[];
BEGIN
    -- If the operational tables moved, the refresh says so.
    BEGIN
        PERFORM kpi_engine.settle();
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        RETURN false;
    END;
    IF analytics.setting('change_capture') <> 'on' OR kpi_engine.capture_signature() IS NULL THEN
        RETURN false;
    END IF;
    -- The refresh follows in the same transaction, and what comes here reads offers.
    PERFORM kpi_engine.hold_source();
    v_stale_tables := kpi_engine.stale_derived_tables();
    RETURN
        EXISTS (
            SELECT FROM kpi_engine.refresh_jobs
            WHERE refresh_jobs.job_id = p_job_id AND refresh_jobs.force
        )
        OR EXISTS (
            SELECT FROM kpi_engine.derived_tables
            WHERE
                derived_tables.table_name = ANY (v_stale_tables)
                AND derived_tables.upkeep = 'key'
        )
        OR (
            kpi_engine.next_rebuild_reason(p_is_settled => true) IS NOT NULL
            AND v_stale_tables = ARRAY[]::text[]
        )
        OR kpi_engine.rebuild_reason(0) IS NOT NULL;
END;
$needs_rebuild_steps$;

COMMENT ON FUNCTION kpi_engine.needs_rebuild_steps(bigint) IS
'True when facts have to be computed again as a whole, or the job asks for it, and change capture '
'works. Internal to analytics.work().';

REVOKE ALL ON FUNCTION kpi_engine.needs_rebuild_steps(bigint) FROM public;
