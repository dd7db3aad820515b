-- Tells whether a refresh had better be preceded by a rebuild in steps.
--
-- Invariant: false where the reason would still be there afterwards (no change capture).
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
BEGIN
    -- Where the operational tables moved, the refresh says so.
    BEGIN
        PERFORM kpi_engine.settle();
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        RETURN false;
    END;
    RETURN
        analytics.setting('change_capture') = 'on'
        AND kpi_engine.capture_signature() IS NOT NULL
        AND (
            kpi_engine.next_rebuild_reason(p_is_settled => true) IS NOT NULL
            OR EXISTS (
                SELECT FROM kpi_engine.refresh_jobs
                WHERE refresh_jobs.job_id = p_job_id AND refresh_jobs.force
            )
        );
END;
$needs_rebuild_steps$;

COMMENT ON FUNCTION kpi_engine.needs_rebuild_steps(bigint) IS
'True when everything has to be computed again, or the job asks for it, and change capture works. '
'Internal to analytics.work().';

REVOKE ALL ON FUNCTION kpi_engine.needs_rebuild_steps(bigint) FROM public;
