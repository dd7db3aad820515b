-- Refreshes one materialized view as a part of a refresh, notes its publish, and asks the gate.
--
-- Invariant: a view that fails, or that the gate holds back, keeps its old contents. This returns
-- the error and does not raise it: the other views go on.

CREATE OR REPLACE FUNCTION kpi_engine.publish_view(
    p_view record,
    p_run kpi_engine.refresh_log,
    p_force boolean,
    p_version bigint,
    p_counted_until timestamptz,
    p_zone text
)
RETURNS kpi_engine.refresh_log
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $publish_view$
DECLARE
    v_result kpi_engine.refresh_log;
    v_reason text := p_view.reason;
    v_outside text;
    v_is_published boolean;
    -- Whether the view did not show all that the facts had before this run.
    v_is_late boolean;
    v_detail text;
    v_context text;
BEGIN
    v_result.run_id := p_run.run_id;
    v_result.view_name := p_view.view_name;
    v_result.triggered_by := p_run.triggered_by;
    v_result.requested_by := p_run.requested_by;
    v_result.data_version := p_run.data_version;
    v_result.started_at := clock_timestamp();
    v_result.reason := CASE WHEN p_force THEN p_run.reason ELSE v_reason END;
    v_result.mode := 'unchanged';
    v_result.refresh_status := 'SUCCESS';
    BEGIN
        IF p_run.mode = 'none' AND p_view.reads_derived_tables THEN
            v_result.refresh_status := 'ERROR';
            v_result.error_message := p_run.error_message;
            v_result.error_sqlstate := p_run.error_sqlstate;
        ELSE
            IF p_view.reads_outside AND p_view.relation IS NOT NULL THEN
                -- First: what changes after it is noticed by the next refresh.
                v_outside := kpi_engine.outside_reason(
                    p_view.view_name, p_force OR p_run.mode = 'full');
                v_reason := coalesce(v_reason, v_outside);
                v_result.reason := coalesce(v_result.reason, v_outside);
            END IF;
            IF p_view.relation IS NOT NULL AND NOT p_view.is_populated THEN
                -- Nobody saw the last publish after somebody dropped or emptied the view.
                PERFORM kpi_engine.end_publication(p_view.view_name, false);
            END IF;
            IF p_force OR v_reason IS NOT NULL THEN
                v_is_late := p_version > coalesce((
                    SELECT view_state.published_version
                    FROM kpi_engine.view_state
                    WHERE view_state.view_name = p_view.view_name
                ), -1);
                v_is_published := CASE
                    WHEN p_view.reads_outside
                        THEN kpi_engine.refresh_outside_view(p_view, p_force)
                    -- What follows from rows that are computed anew is not looked at first: a
                    -- column that is not shown may decide a rank.
                    ELSE kpi_engine.refresh_view(
                        p_view, p_force OR p_view.is_void OR p_run.mode = 'full')
                END;
                -- At READ COMMITTED each statement locks first, and then takes its snapshot.
                IF p_view.reads_outside
                    AND current_setting('transaction_isolation') = 'repeatable read' THEN
                    PERFORM kpi_engine.refuse_rewritten_source();
                END IF;
                IF v_is_published THEN
                    v_result.mode := CASE
                        WHEN p_view.reads_derived_tables THEN p_run.mode
                        ELSE 'full'
                    END;
                    -- Published late: an earlier run applied the changes.
                    IF v_result.mode = 'unchanged' THEN
                        v_result.mode := 'incremental';
                    END IF;
                END IF;
                PERFORM kpi_engine.note_publication(
                    p_view.view_name,
                    p_run.run_id,
                    -- Published late: what earlier runs applied is not counted again.
                    CASE
                        WHEN p_run.mode = 'incremental' AND NOT v_is_late
                            THEN p_run.requests_recomputed
                    END,
                    p_counted_until
                );
                PERFORM kpi_engine.check_gate(p_view.view_name, p_run.run_id);
                PERFORM kpi_engine.use_acceptances(p_view.view_name, p_run.run_id);
                PERFORM kpi_engine.note_target_results(p_view.view_name, p_run.run_id);
            END IF;
            UPDATE kpi_engine.view_state SET
                last_success_at = analytics.now(),
                counted_until = p_counted_until,
                time_zone = p_zone,
                published_version = p_run.data_version,
                is_void = false
            WHERE view_state.view_name = p_view.view_name;
            -- The publish of what it shows counted its rows, in this run or before.
            v_result.rows_affected := coalesce(
                (
                    SELECT latest.rows_shown
                    FROM kpi_engine.publications AS latest
                    WHERE latest.view_name = p_view.view_name
                    ORDER BY latest.run_id DESC
                    LIMIT 1
                ),
                kpi_engine.count_rows(p_view.view_name)
            );
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            v_result.error_message := MESSAGE_TEXT,
            v_result.error_sqlstate := RETURNED_SQLSTATE,
            v_detail := PG_EXCEPTION_DETAIL,
            v_context := PG_EXCEPTION_CONTEXT;
        v_result.error_message := concat(
            v_result.error_message, kpi_engine.event_trigger_in(v_context),
            CASE v_result.error_sqlstate
                WHEN '23505' THEN ': several rows of the view have the same values there. Group '
                    'its query by them, or add a column to the index'
                WHEN '22012' THEN ': in its query write nullif(…, 0) around the divisor, or '
                    'kpi_engine.percentage(part, whole)'
            END);
        v_result.refresh_status := 'ERROR';
        IF v_result.error_sqlstate = 'TA001' THEN
            PERFORM kpi_engine.note_holds(p_view.view_name, p_run.run_id, v_detail::jsonb);
        END IF;
        RAISE WARNING 'teloo-analytics: ERROR in refresh % of view %: % (SQLSTATE %)',
            p_run.run_id, p_view.view_name, v_result.error_message, v_result.error_sqlstate
            USING DETAIL = concat(
                CASE WHEN v_result.error_sqlstate = '23505' THEN v_detail || ' ' END,
                'The view keeps its old contents; the other views go on.');
    END;
    IF v_result.refresh_status = 'ERROR' THEN
        v_result.mode := 'none';
    END IF;
    v_result.finished_at := clock_timestamp();
    RETURN v_result;
END;
$publish_view$;

COMMENT ON FUNCTION kpi_engine.publish_view(
    record, kpi_engine.refresh_log, boolean, bigint, timestamptz, text
) IS
'Refreshes a view (a row of kpi_engine.view_staleness()) in the run p_run, if it has a reason, or '
'with p_force. p_version: what the facts had before the run; p_counted_until and p_zone: what they '
'have now. Returns its line of kpi_engine.refresh_log, not yet written; mode unchanged: it was '
'right already. Internal to kpi_engine.run_refresh().';

REVOKE ALL ON FUNCTION kpi_engine.publish_view(
    record, kpi_engine.refresh_log, boolean, bigint, timestamptz, text
) FROM public;
