-- Brings the facts up to date as the first part of a refresh.
--
-- Invariant: if that fails, nothing of it is left: all changes wait for the next refresh. This
-- returns the error and does not raise it, so that what the breaker holds is noted, and views over
-- tables of other services go on.

CREATE OR REPLACE FUNCTION kpi_engine.refresh_facts(
    p_run kpi_engine.refresh_log, p_force boolean
)
RETURNS kpi_engine.refresh_log
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $refresh_facts$
DECLARE
    v_detail text;
    v_context text;
    v_schema text;
    v_table text;
    v_column text;
    v_wrong_key text;
    v_definition text;
BEGIN
    BEGIN
        PERFORM kpi_engine.pull_sites();
        SELECT applied.mode, applied.reason, applied.requests
        INTO STRICT p_run.mode, p_run.reason, p_run.requests_recomputed
        FROM kpi_engine.apply_changes(p_force) AS applied;
        IF p_run.mode <> 'unchanged' THEN
            PERFORM kpi_engine.use_acceptances('changes', p_run.run_id);
        END IF;
        IF p_run.triggered_by = 'schedule' THEN
            PERFORM kpi_engine.audit_next_part();
        END IF;
        -- At READ COMMITTED each statement locks first, and then takes its snapshot.
        IF current_setting('transaction_isolation') = 'repeatable read' THEN
            PERFORM kpi_engine.refuse_rewritten_source();
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            p_run.error_message := MESSAGE_TEXT,
            p_run.error_sqlstate := RETURNED_SQLSTATE,
            v_detail := PG_EXCEPTION_DETAIL,
            v_context := PG_EXCEPTION_CONTEXT,
            v_schema := SCHEMA_NAME,
            v_table := TABLE_NAME,
            v_column := COLUMN_NAME;
        v_wrong_key := kpi_engine.wrong_key_message(
            p_run.error_sqlstate, v_schema, v_table, v_column);
        p_run.error_sqlstate := CASE
            WHEN v_wrong_key IS NOT NULL THEN 'TA003'
            ELSE p_run.error_sqlstate
        END;
        -- A value that the arithmetic of a definition can't take.
        IF p_run.error_sqlstate ~ '^22' THEN
            v_definition := (
                SELECT min(derived_tables.table_name)
                FROM kpi_engine.derived_tables
                WHERE v_context ~ format(
                    '\mINSERT INTO kpi_engine\.(changed_%1$s|%1$s(_[ab])?)\M',
                    derived_tables.table_name
                )
            );
        END IF;
        p_run.error_message := coalesce(
            v_wrong_key,
            concat(
                'derived table ' || v_definition || ': ',
                p_run.error_message,
                '. Mend recomputed_' || v_definition || '.sql' || CASE
                    WHEN p_run.error_sqlstate = '22012'
                        THEN ': write nullif(…, 0) around the divisor'
                    ELSE ''
                END || ', run make migrate and refresh',
                kpi_engine.event_trigger_in(v_context)
            ));
        p_run.mode := 'none';
        IF p_run.error_sqlstate = 'TA001' THEN
            PERFORM kpi_engine.note_holds('changes', p_run.run_id, v_detail::jsonb);
            IF p_force THEN
                -- A refresh of what changed would not find it again.
                PERFORM kpi_engine.note_rebuild_reason(
                    'the breaker holds what a forced refresh found');
            END IF;
        END IF;
        RAISE WARNING 'teloo-analytics: ERROR in refresh % while applying changes: % (SQLSTATE %)',
            p_run.run_id, p_run.error_message, p_run.error_sqlstate
            USING DETAIL = 'All changes wait for the next refresh; the views keep their contents.';
    END;
    RETURN p_run;
END;
$refresh_facts$;

COMMENT ON FUNCTION kpi_engine.refresh_facts(kpi_engine.refresh_log, boolean) IS
'Takes what sites of a hub have, applies the changes (p_force: computes everything again), and '
'audits a part of history in a scheduled refresh. Returns p_run with its mode, reason and number '
'of requests; mode none with the error, if it failed. Internal to kpi_engine.run_refresh().';

REVOKE ALL ON FUNCTION kpi_engine.refresh_facts(kpi_engine.refresh_log, boolean) FROM public;
