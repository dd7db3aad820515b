-- Applies what changed, publishes the materialized views that show it, and logs the run.
--
-- Invariant: one run at a time. A view that fails (kpi_engine.publish_view) does not stop the
-- others, and is tried again by the next run. The result of each view is in analytics.refresh_log
-- if the caller commits. It is in the server's log in any case.

CREATE OR REPLACE FUNCTION kpi_engine.run_refresh(
    p_triggered_by text, p_requested_by text, p_force boolean
)
RETURNS SETOF kpi_engine.refresh_log
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
-- A daily refresh has a new session, where each statement would be planned at its first five uses.
-- What depends on the values (the statements of derived tables) is planned each time anyway.
SET plan_cache_mode = force_generic_plan
AS $run_refresh$
DECLARE
    v_run kpi_engine.refresh_log;
    v_result kpi_engine.refresh_log;
    v_view record;
    v_counted_until timestamptz;
    v_zone text;
    -- What the facts had before this run.
    v_version bigint;
    v_views integer := 0;
    v_published integer := 0;
    v_failed_views text[] := ARRAY[]::text[];
BEGIN
    IF p_force IS NULL THEN
        RAISE EXCEPTION 'force must be true or false'
            USING ERRCODE = 'null_value_not_allowed',
                  DETAIL = 'Got NULL.',
                  HINT = 'Omit it for an ordinary refresh.';
    END IF;
    PERFORM kpi_engine.refuse_unfit_transaction('a refresh', 'SELECT * FROM refresh_all_mv()');
    -- It would be stamped with the start of the statement, and readers saw other figures until now.
    -- Or it would count by an old snapshot, and its figures would pass for new ones.
    IF NOT kpi_engine.clock_is_pinned()
        AND clock_timestamp() - (
            CASE current_setting('transaction_isolation')
                WHEN 'repeatable read' THEN transaction_timestamp()
                ELSE analytics.now()
            END
        ) > kpi_engine.clock_tolerance() THEN
        RAISE EXCEPTION 'a refresh must be a statement of its own'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format(
                      'This statement (at REPEATABLE READ: its transaction) began over %s ago; '
                      'nothing was changed.', kpi_engine.clock_tolerance()),
                  HINT = 'End the statement or transaction that does the long work, then: '
                         'SELECT * FROM refresh_all_mv();';
    END IF;
    PERFORM kpi_engine.hold_refresh_lock();
    -- A wrong clock is an error of the run, not of each view.
    PERFORM analytics.today();
    SELECT engine_state.data_version INTO v_version FROM kpi_engine.engine_state;
    v_run.run_id := nextval('kpi_engine.refresh_run_id_seq');
    v_run.triggered_by := p_triggered_by;
    v_run.requested_by := p_requested_by;
    v_run.started_at := clock_timestamp();
    v_run.rows_affected := 0;
    RAISE LOG 'teloo-analytics: refresh % started (% by %)',
        v_run.run_id, p_triggered_by, p_requested_by;

    v_run := kpi_engine.refresh_facts(v_run, p_force);
    SELECT engine_state.data_version, coalesce(engine_state.time_zone, analytics.setting('time_zone'))
    INTO v_run.data_version, v_zone
    FROM kpi_engine.engine_state;
    v_counted_until := kpi_engine.facts_counted_until();

    FOR v_view IN
        SELECT
            staleness.*,
            array_agg(staleness.view_name) FILTER (
                WHERE staleness.reason IS NULL AND NOT staleness.reads_outside
            ) OVER () AS fresh_views
        FROM kpi_engine.view_staleness() AS staleness
    LOOP
        v_views := v_views + 1;
        IF v_views = 1 AND v_run.mode <> 'none' AND NOT p_force THEN
            -- These show this version already: the gate compares the others with them.
            UPDATE kpi_engine.view_state SET published_version = v_run.data_version
            WHERE view_state.view_name = ANY (v_view.fresh_views);
            -- Such as by a setting that was set back: nothing is held any more.
            DELETE FROM kpi_engine.gate_holds
            WHERE gate_holds.view_name = ANY (v_view.fresh_views);
        END IF;
        v_result := kpi_engine.publish_view(
            v_view, v_run, p_force, v_version, v_counted_until, v_zone);
        IF v_result.refresh_status = 'ERROR' THEN
            v_failed_views := v_failed_views || v_view.view_name;
        ELSIF v_result.mode <> 'unchanged' THEN
            v_published := v_published + 1;
        END IF;
        v_run.rows_affected := v_run.rows_affected + coalesce(v_result.rows_affected, 0);
        RETURN NEXT kpi_engine.log_refresh(v_result);
    END LOOP;

    v_run.finished_at := clock_timestamp();
    IF v_run.mode = 'unchanged' AND v_published > 0 THEN
        v_run.mode := 'incremental';
        v_run.reason := 'only publishing was left';
    END IF;
    IF v_views = 0 THEN
        v_run.error_message := 'there is no materialized view in schema analytics';
    ELSIF cardinality(v_failed_views) > 0 THEN
        v_run.error_message := format(
            '%s of %s views failed: %s', cardinality(v_failed_views), v_views,
            array_to_string(v_failed_views, ', '))
            || coalesce(': ' || v_run.error_message, '');
    END IF;
    IF v_run.error_message IS NULL THEN
        -- The audit healed the derived tables. Now the views are right too.
        UPDATE kpi_engine.audit_log SET is_healed = true WHERE NOT audit_log.is_healed;
    END IF;
    v_run.refresh_status := CASE WHEN v_run.error_message IS NULL THEN 'SUCCESS' ELSE 'ERROR' END;
    v_run := kpi_engine.log_refresh(v_run);
    RAISE LOG 'teloo-analytics: refresh % ended: %, % (%), % view(s), % published, % row(s), % ms%',
        v_run.run_id, v_run.refresh_status, v_run.mode, v_run.reason, v_views, v_published,
        v_run.rows_affected, v_run.refresh_time_ms, coalesce('; ' || v_run.error_message, '');
    RETURN NEXT v_run;
END;
$run_refresh$;

COMMENT ON FUNCTION kpi_engine.run_refresh(text, text, boolean) IS
'One refresh: applies what changed, and publishes the materialized views that show it. Returns '
'its rows of analytics.refresh_log: the views in dependency order, then the run (view_name NULL). '
'p_force computes everything again from the source. Errors: 55P03 while another one runs, 55000 '
'in a serializable transaction and minutes after the statement began, 25006 in a read-only '
'transaction and at a standby. Internal to '
'refresh_all_mv() and the scheduler.';

REVOKE ALL ON FUNCTION kpi_engine.run_refresh(text, text, boolean) FROM public;
