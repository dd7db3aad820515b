-- Tells whether a refresh failed, by its line in the refresh log.
--
-- Invariant: a refresh that applied the changes did not fail because the gate held views back
-- (TA001), or because the tables of another service could not be read (TA002). The lines of its
-- views come just before its own line.

CREATE OR REPLACE FUNCTION kpi_engine.refresh_failed(p_log_id bigint)
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $refresh_failed$
DECLARE
    v_run kpi_engine.refresh_log;
BEGIN
    SELECT refresh_log.* INTO v_run
    FROM kpi_engine.refresh_log
    WHERE refresh_log.log_id = p_log_id;
    IF v_run.refresh_status = 'SUCCESS' THEN
        RETURN false;
    ELSIF v_run.error_sqlstate IS NOT NULL THEN
        RETURN true;
    END IF;
    RETURN coalesce(
        (
            SELECT bool_or((of_view.error_sqlstate IN ('TA001', 'TA002')) IS NOT TRUE)
            FROM kpi_engine.refresh_log AS of_view
            WHERE
                of_view.log_id < v_run.log_id
                AND of_view.log_id > coalesce((
                    SELECT max(before.log_id)
                    FROM kpi_engine.refresh_log AS before
                    WHERE before.view_name IS NULL AND before.log_id < v_run.log_id
                ), 0)
                AND of_view.run_id = v_run.run_id
                AND of_view.refresh_status = 'ERROR'
        ),
        true
    );
END;
$refresh_failed$;

COMMENT ON FUNCTION kpi_engine.refresh_failed(bigint) IS
'False if the refresh of this line of the log (view_name NULL) succeeded, or if all views that '
'failed were held back by the gate or could not read tables of another service. Internal to the '
'setting target_lag.';

REVOKE ALL ON FUNCTION kpi_engine.refresh_failed(bigint) FROM public;
