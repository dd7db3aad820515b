-- Refreshes all materialized views, each by itself, and logs the run.
--
-- Invariant: one run at a time; a view that fails keeps its old contents and does not
-- stop the others; every view's result is in analytics.refresh_log when the caller
-- commits, and in the server's log whether it commits or not.

CREATE OR REPLACE FUNCTION analytics.run_refresh(
    p_triggered_by text, p_requested_by text, p_force boolean
)
RETURNS SETOF analytics.refresh_log
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $run_refresh$
DECLARE
    v_run_id bigint;
    v_run_started_at constant timestamptz := clock_timestamp();
    v_run_rows bigint := 0;
    v_views integer := 0;
    v_published boolean := false;
    v_failed_views text[] := ARRAY[]::text[];
    v_view_name text;
    v_result analytics.refresh_log;
BEGIN
    IF p_force IS NULL THEN
        RAISE EXCEPTION 'force must be true or false'
            USING ERRCODE = 'null_value_not_allowed',
                  DETAIL = 'Got NULL.',
                  HINT = 'Omit it for an ordinary refresh.';
    END IF;
    IF NOT pg_try_advisory_xact_lock(analytics.refresh_lock_key()) THEN
        RAISE EXCEPTION 'a refresh is already running'
            USING ERRCODE = 'lock_not_available',
                  DETAIL = 'One refresh runs at a time; nothing was changed.',
                  HINT = 'Try again when it is done, or see analytics.refresh_log.';
    END IF;
    -- A clock that is not right is an error of the run, not of each view.
    PERFORM analytics.today();
    v_run_id := nextval('analytics.refresh_run_id_seq');
    RAISE LOG 'teloo-analytics: refresh % started (% by %)',
        v_run_id, p_triggered_by, p_requested_by;

    -- A view that was refreshed before and is gone now is a failure, not less work.
    FOR v_view_name IN
        SELECT listed.view_name
        FROM (
            SELECT materialized_views.view_name, materialized_views.depth
            FROM analytics.materialized_views()
            UNION ALL
            SELECT view_state.view_name, NULL
            FROM analytics.view_state
            WHERE view_state.view_name NOT IN (
                SELECT materialized_views.view_name FROM analytics.materialized_views()
            )
        ) AS listed
        ORDER BY listed.depth NULLS LAST, listed.view_name
    LOOP
        v_result := NULL;
        v_result.run_id := v_run_id;
        v_result.view_name := v_view_name;
        v_result.triggered_by := p_triggered_by;
        v_result.requested_by := p_requested_by;
        v_result.started_at := clock_timestamp();
        BEGIN
            SELECT refreshed.mode, refreshed.rows_affected
            INTO STRICT v_result.mode, v_result.rows_affected
            FROM analytics.refresh_view(v_view_name, p_force) AS refreshed;
            v_result.refresh_status := 'SUCCESS';
            v_run_rows := v_run_rows + v_result.rows_affected;
            v_published := v_published OR v_result.mode = 'full';
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS
                v_result.error_message := MESSAGE_TEXT,
                v_result.error_sqlstate := RETURNED_SQLSTATE;
            v_result.refresh_status := 'ERROR';
            v_result.mode := 'none';
            v_failed_views := v_failed_views || v_view_name;
            RAISE WARNING 'teloo-analytics: ERROR in refresh % of view %: % (SQLSTATE %)',
                v_run_id, v_view_name, v_result.error_message, v_result.error_sqlstate
                USING DETAIL = 'The view keeps its old contents; the other views go on.';
        END;
        v_views := v_views + 1;
        v_result.finished_at := clock_timestamp();
        RETURN NEXT analytics.log_refresh(v_result);
    END LOOP;

    v_result := NULL;
    v_result.run_id := v_run_id;
    v_result.triggered_by := p_triggered_by;
    v_result.requested_by := p_requested_by;
    v_result.mode := CASE
        WHEN v_published THEN 'full'
        WHEN cardinality(v_failed_views) < v_views THEN 'unchanged'
        ELSE 'none'
    END;
    v_result.started_at := v_run_started_at;
    v_result.finished_at := clock_timestamp();
    v_result.rows_affected := v_run_rows;
    v_result.refresh_status := 'SUCCESS';
    IF v_views = 0 THEN
        v_result.error_message := 'there is no materialized view in schema analytics';
    ELSIF cardinality(v_failed_views) > 0 THEN
        v_result.error_message := format(
            '%s of %s views failed: %s', cardinality(v_failed_views), v_views,
            array_to_string(v_failed_views, ', '));
    END IF;
    IF v_result.error_message IS NOT NULL THEN
        v_result.refresh_status := 'ERROR';
    END IF;
    v_result := analytics.log_refresh(v_result);
    RAISE LOG 'teloo-analytics: refresh % ended: %, % view(s), % row(s), % ms%',
        v_run_id, v_result.refresh_status, v_views, v_run_rows, v_result.refresh_time_ms,
        coalesce('; ' || v_result.error_message, '');
    RETURN NEXT v_result;
END;
$run_refresh$;

COMMENT ON FUNCTION analytics.run_refresh(text, text, boolean) IS
'One refresh of all materialized views: returns its rows of analytics.refresh_log, the views '
'in dependency order, then the run (view_name NULL). 55P03 while another one runs. Internal '
'to refresh_all_mv() and the scheduler.';

REVOKE ALL ON FUNCTION analytics.run_refresh(text, text, boolean) FROM public;
