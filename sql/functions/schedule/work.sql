-- Each minute: runs the queued refreshes, and commits between its steps.
--
-- Invariant: it holds the refresh lock for its session from its first step to its last. It releases
-- the lock also if a step fails. (Only a COMMIT that fails leaves it to the end of the session.) In
-- a transaction block the first COMMIT fails before the lock is taken.
-- SECURITY INVOKER, because a definer can't COMMIT. For the same reason search_path is set again
-- after each COMMIT instead of in a SET clause.

CREATE OR REPLACE PROCEDURE analytics.work()
LANGUAGE plpgsql
SECURITY INVOKER
AS $work$
DECLARE
    v_job_id bigint;
    v_in_steps boolean;
    v_message text;
    v_sqlstate text;
BEGIN
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET LOCAL search_path = pg_catalog, pg_temp;
    PERFORM kpi_engine.pin_settings();
    PERFORM kpi_engine.work_step('wait');
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET LOCAL search_path = pg_catalog, pg_temp;
    PERFORM kpi_engine.pin_settings();
    IF NOT pg_try_advisory_lock(kpi_engine.refresh_lock_key()) THEN
        -- Another refresh is running. If the holder of the lock is no refresh, this is an error.
        PERFORM kpi_engine.work_step('refuse');
        RETURN;
    END IF;
    LOOP
        v_job_id := NULL;
        BEGIN
            v_job_id := kpi_engine.work_step('claim');
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
        END;
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        SET LOCAL search_path = pg_catalog, pg_temp;
        PERFORM kpi_engine.pin_settings();
        EXIT WHEN v_job_id IS NULL OR v_sqlstate IS NOT NULL;

        -- If everything has to be computed again, it is done in steps, not in one transaction.
        BEGIN
            v_in_steps := kpi_engine.work_step('plan', v_job_id) = 1;
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
        END;
        IF v_sqlstate IS NULL AND v_in_steps THEN
            CALL kpi_engine.run_rebuild_steps(NULL, v_job_id, v_message, v_sqlstate);
            SET LOCAL search_path = pg_catalog, pg_temp;
        ELSE
            -- It may have waited for a table, and a refresh is stamped with the start of its
            -- transaction.
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
            SET LOCAL search_path = pg_catalog, pg_temp;
            PERFORM kpi_engine.pin_settings();
        END IF;
        BEGIN
            IF v_sqlstate IS NULL THEN
                PERFORM kpi_engine.work_step(
                    'run', v_job_id, p_is_rebuilt => v_in_steps
                );
            END IF;
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
        END;
        IF v_sqlstate IS NOT NULL THEN
            BEGIN
                PERFORM kpi_engine.work_step(
                    'fail', v_job_id, p_message => v_message, p_sqlstate => v_sqlstate
                );
            EXCEPTION WHEN query_canceled OR OTHERS THEN
                RAISE WARNING 'teloo-analytics: ERROR noting that job % failed: % (SQLSTATE %)',
                    v_job_id, SQLERRM, SQLSTATE;
            END;
        END IF;
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        SET LOCAL search_path = pg_catalog, pg_temp;
        PERFORM kpi_engine.pin_settings();
        EXIT WHEN v_sqlstate IS NOT NULL;
    END LOOP;
    PERFORM pg_advisory_unlock(kpi_engine.refresh_lock_key());
    IF v_sqlstate IS NOT NULL THEN
        RAISE EXCEPTION 'refresh job % failed: %', v_job_id, v_message
            USING ERRCODE = v_sqlstate,
                  HINT = 'See analytics.refresh_jobs and the server''s log.';
    END IF;
END;
$work$;

COMMENT ON PROCEDURE analytics.work IS
'Runs the refreshes that analytics.tick() queued, oldest first. Call it each minute, outside a '
'transaction block. It returns at once while another refresh is running. Errors: 55P03 if a '
'session holds the refresh lock without refreshing.';

REVOKE ALL ON PROCEDURE analytics.work FROM public;
GRANT EXECUTE ON PROCEDURE analytics.work TO analytics_scheduler;
