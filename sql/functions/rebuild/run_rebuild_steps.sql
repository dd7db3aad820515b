-- Runs a rebuild step by step, and commits after each.
--
-- Invariant: the caller holds the refresh lock for its session. An error ends the rebuild. The
-- committed steps stay for the next time. The error is handed back, so that the caller can release
-- the lock before it raises the error.
-- SECURITY INVOKER, because a definer can't COMMIT. search_path is set again after each COMMIT.

CREATE OR REPLACE PROCEDURE kpi_engine.run_rebuild_steps(
    p_restart boolean, p_job_id bigint, INOUT p_message text, INOUT p_sqlstate text
)
LANGUAGE plpgsql
SECURITY INVOKER
AS $run_rebuild_steps$
DECLARE
    v_batches integer[];
    v_batch integer;
    v_done integer := 0;
    v_context text;
BEGIN
    BEGIN
        v_batches := kpi_engine.begin_rebuild(p_restart, p_job_id);
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        GET STACKED DIAGNOSTICS
            p_message := MESSAGE_TEXT,
            p_sqlstate := RETURNED_SQLSTATE,
            v_context := PG_EXCEPTION_CONTEXT;
    END;
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET LOCAL search_path = pg_catalog, pg_temp;
    PERFORM kpi_engine.pin_settings();
    -- NULL is the completion, 0 the clean-up after it.
    FOREACH v_batch IN ARRAY v_batches || NULL::integer || 0 LOOP
        EXIT WHEN p_sqlstate IS NOT NULL;
        BEGIN
            PERFORM kpi_engine.continue_rebuild(v_batch);
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS
                p_message := MESSAGE_TEXT,
                p_sqlstate := RETURNED_SQLSTATE,
                v_context := PG_EXCEPTION_CONTEXT;
        END;
        IF p_sqlstate = 'TA001' THEN
            PERFORM kpi_engine.continue_rebuild(-1);
        END IF;
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        SET LOCAL search_path = pg_catalog, pg_temp;
        PERFORM kpi_engine.pin_settings();
        v_done := v_done + 1;
        IF p_sqlstate IS NULL AND v_batch <> 0 THEN
            RAISE NOTICE 'teloo-analytics: rebuild: % of % batches', v_done,
                cardinality(v_batches);
        END IF;
    END LOOP;
    p_message := p_message || coalesce(kpi_engine.event_trigger_in(v_context), '');
END;
$run_rebuild_steps$;

COMMENT ON PROCEDURE kpi_engine.run_rebuild_steps (boolean, bigint, text, text) IS
'Runs a rebuild (p_restart and p_job_id as in kpi_engine.begin_rebuild()), committing after each '
'batch; hands back the message and SQLSTATE of what ended it, or NULL. Internal to '
'analytics.rebuild() and work().';

REVOKE ALL ON PROCEDURE kpi_engine.run_rebuild_steps(boolean, bigint, text, text) FROM public;
GRANT EXECUTE ON PROCEDURE kpi_engine.run_rebuild_steps(boolean, bigint, text, text)
TO analytics_operador, analytics_scheduler;
