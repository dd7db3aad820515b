-- Applies what changed, publishes the materialized views that show it, and logs the run.
--
-- Invariant: one run at a time. A view that fails, or that the gate holds back, keeps its old
-- contents, does not stop the others, and is tried again by the next run. The result of each view
-- is in analytics.refresh_log if the caller commits. It is in the server's log in any case.

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
    v_detail text;
    v_context text;
    v_schema text;
    v_table text;
    v_column text;
    v_wrong_key text;
    v_result kpi_engine.refresh_log;
    v_view record;
    v_outside text;
    v_counted_until timestamptz;
    v_zone text;
    v_is_published boolean;
    -- What the facts had before this run, and whether a view did not show all of that.
    v_version bigint;
    v_is_late boolean;
    -- At READ COMMITTED each statement locks first, and then takes its snapshot.
    v_has_old_snapshot constant boolean :=
        current_setting('transaction_isolation') = 'repeatable read';
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
    PERFORM kpi_engine.refuse_serializable('a refresh', 'SELECT * FROM refresh_all_mv()');
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'a refresh must run at the primary: this server is a standby'
            USING ERRCODE = 'read_only_sql_transaction',
                  DETAIL = 'Nothing was changed. A standby shows what its primary published.',
                  HINT = 'Connect to the primary (primary_conninfo of this server names it), or '
                         'promote this server.';
    END IF;
    IF current_setting('transaction_read_only') = 'on' THEN
        RAISE EXCEPTION 'a refresh must not run in a read-only transaction'
            USING ERRCODE = 'read_only_sql_transaction',
                  DETAIL = 'Nothing was changed.',
                  HINT = kpi_engine.setting_origin('default_transaction_read_only', 'off')
                         || 'BEGIN READ WRITE; SELECT * FROM refresh_all_mv(); COMMIT;';
    END IF;
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
    RAISE LOG 'teloo-analytics: refresh % started (% by %)',
        v_run.run_id, p_triggered_by, p_requested_by;

    BEGIN
        PERFORM kpi_engine.pull_sites();
        SELECT applied.mode, applied.reason, applied.requests
        INTO STRICT v_run.mode, v_run.reason, v_run.requests_recomputed
        FROM kpi_engine.apply_changes(p_force) AS applied;
        IF v_run.mode <> 'unchanged' THEN
            PERFORM kpi_engine.use_acceptances('changes', v_run.run_id);
        END IF;
        IF p_triggered_by = 'schedule' THEN
            PERFORM kpi_engine.audit_next_part();
        END IF;
        IF v_has_old_snapshot THEN
            PERFORM kpi_engine.refuse_rewritten_source();
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            v_run.error_message := MESSAGE_TEXT,
            v_run.error_sqlstate := RETURNED_SQLSTATE,
            v_detail := PG_EXCEPTION_DETAIL,
            v_context := PG_EXCEPTION_CONTEXT,
            v_schema := SCHEMA_NAME,
            v_table := TABLE_NAME,
            v_column := COLUMN_NAME;
        v_wrong_key := kpi_engine.wrong_key_message(
            v_run.error_sqlstate, v_schema, v_table, v_column);
        v_run.error_sqlstate := CASE
            WHEN v_wrong_key IS NOT NULL THEN 'TA003'
            ELSE v_run.error_sqlstate
        END;
        v_run.error_message := coalesce(
            v_wrong_key,
            concat(v_run.error_message, kpi_engine.event_trigger_in(v_context)));
        v_run.mode := 'none';
        IF v_run.error_sqlstate = 'TA001' THEN
            PERFORM kpi_engine.note_holds('changes', v_run.run_id, v_detail::jsonb);
            IF p_force THEN
                -- A refresh of what changed would not find it again.
                PERFORM kpi_engine.note_rebuild_reason(
                    'the breaker holds what a forced refresh found');
            END IF;
        END IF;
        RAISE WARNING 'teloo-analytics: ERROR in refresh % while applying changes: % (SQLSTATE %)',
            v_run.run_id, v_run.error_message, v_run.error_sqlstate
            USING DETAIL = 'All changes wait for the next refresh; the views keep their contents.';
    END;
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
        v_result := NULL;
        v_result.run_id := v_run.run_id;
        v_result.view_name := v_view.view_name;
        v_result.triggered_by := p_triggered_by;
        v_result.requested_by := p_requested_by;
        v_result.data_version := v_run.data_version;
        v_result.started_at := clock_timestamp();
        v_result.reason := CASE WHEN p_force THEN v_run.reason ELSE v_view.reason END;
        v_result.mode := 'unchanged';
        v_result.refresh_status := 'SUCCESS';
        BEGIN
            IF v_run.mode = 'none' AND v_view.reads_derived_tables THEN
                v_result.refresh_status := 'ERROR';
                v_result.error_message := v_run.error_message;
                v_result.error_sqlstate := v_run.error_sqlstate;
            ELSE
                IF v_view.reads_outside AND v_view.relation IS NOT NULL THEN
                    -- First: what changes after it is noticed by the next refresh.
                    v_outside := kpi_engine.outside_reason(
                        v_view.view_name, p_force OR v_run.mode = 'full');
                    v_view.reason := coalesce(v_view.reason, v_outside);
                    v_result.reason := coalesce(v_result.reason, v_outside);
                END IF;
                IF v_view.relation IS NOT NULL AND NOT v_view.is_populated THEN
                    -- Nobody saw the last publish after somebody dropped or emptied the view.
                    PERFORM kpi_engine.end_publication(v_view.view_name, false);
                END IF;
                IF p_force OR v_view.reason IS NOT NULL THEN
                    v_is_late := v_version > coalesce((
                        SELECT view_state.published_version
                        FROM kpi_engine.view_state
                        WHERE view_state.view_name = v_view.view_name
                    ), -1);
                    v_is_published := CASE
                        WHEN v_view.reads_outside
                            THEN kpi_engine.refresh_outside_view(v_view, p_force)
                        -- What follows from rows that are computed anew is not looked at first: a
                        -- column that is not shown may decide a rank.
                        ELSE kpi_engine.refresh_view(
                            v_view, p_force OR v_view.is_void OR v_run.mode = 'full')
                    END;
                    IF v_view.reads_outside AND v_has_old_snapshot THEN
                        PERFORM kpi_engine.refuse_rewritten_source();
                    END IF;
                    IF v_is_published THEN
                        v_result.mode := CASE
                            WHEN v_view.reads_derived_tables THEN v_run.mode
                            ELSE 'full'
                        END;
                        -- Published late: an earlier run applied the changes.
                        IF v_result.mode = 'unchanged' THEN
                            v_result.mode := 'incremental';
                        END IF;
                        v_published := v_published + 1;
                    END IF;
                    PERFORM kpi_engine.note_publication(
                        v_view.view_name,
                        v_run.run_id,
                        -- Published late: what earlier runs applied is not counted again.
                        CASE
                            WHEN v_run.mode = 'incremental' AND NOT v_is_late
                                THEN v_run.requests_recomputed
                        END,
                        v_counted_until
                    );
                    PERFORM kpi_engine.check_gate(v_view.view_name, v_run.run_id);
                    PERFORM kpi_engine.use_acceptances(v_view.view_name, v_run.run_id);
                    PERFORM kpi_engine.note_target_results(v_view.view_name, v_run.run_id);
                END IF;
                UPDATE kpi_engine.view_state SET
                    last_success_at = analytics.now(),
                    counted_until = v_counted_until,
                    time_zone = v_zone,
                    published_version = v_run.data_version,
                    is_void = false
                WHERE view_state.view_name = v_view.view_name;
                -- The publish of what it shows counted its rows, in this run or before.
                v_result.rows_affected := coalesce(
                    (
                        SELECT latest.rows_shown
                        FROM kpi_engine.publications AS latest
                        WHERE latest.view_name = v_view.view_name
                        ORDER BY latest.run_id DESC
                        LIMIT 1
                    ),
                    kpi_engine.count_rows(v_view.view_name)
                );
                v_run.rows_affected := coalesce(v_run.rows_affected, 0) + v_result.rows_affected;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS
                v_result.error_message := MESSAGE_TEXT,
                v_result.error_sqlstate := RETURNED_SQLSTATE,
                v_detail := PG_EXCEPTION_DETAIL,
                v_context := PG_EXCEPTION_CONTEXT;
            v_result.error_message := concat(
                v_result.error_message, kpi_engine.event_trigger_in(v_context),
                CASE WHEN v_result.error_sqlstate = '23505' THEN ': several rows of the view have the '
                    'same values there. Group its query by them, or add a column to the index' END);
            v_result.refresh_status := 'ERROR';
            IF v_result.error_sqlstate = 'TA001' THEN
                PERFORM kpi_engine.note_holds(v_view.view_name, v_run.run_id, v_detail::jsonb);
            END IF;
            RAISE WARNING 'teloo-analytics: ERROR in refresh % of view %: % (SQLSTATE %)',
                v_run.run_id, v_view.view_name, v_result.error_message, v_result.error_sqlstate
                USING DETAIL = concat(
                    CASE WHEN v_result.error_sqlstate = '23505' THEN v_detail || ' ' END,
                    'The view keeps its old contents; the other views go on.');
        END;
        IF v_result.refresh_status = 'ERROR' THEN
            v_result.mode := 'none';
            v_failed_views := v_failed_views || v_view.view_name;
        END IF;
        v_result.finished_at := clock_timestamp();
        RETURN NEXT kpi_engine.log_refresh(v_result);
    END LOOP;

    v_run.finished_at := clock_timestamp();
    v_run.rows_affected := coalesce(v_run.rows_affected, 0);
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
'in a serializable transaction and minutes after the statement began. Internal to '
'refresh_all_mv() and the scheduler.';

REVOKE ALL ON FUNCTION kpi_engine.run_refresh(text, text, boolean) FROM public;
