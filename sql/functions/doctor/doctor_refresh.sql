-- The checks of the doctor about refreshes and the use of the views.
--
-- Invariant: it shows nothing that the caller may not see elsewhere.
-- SECURITY DEFINER: operators may not call the functions behind it.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_refresh(p_check text, p_counts boolean)
RETURNS TABLE (status text, message text, fixes text[])
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
SET jit = off
AS $doctor_refresh$
#variable_conflict use_column
DECLARE
    c_refresh constant text := 'SELECT * FROM analytics.refresh_all_mv();';
    -- Ticks keep the change log small; its file stays as large as it once was.
    c_log_bytes constant bigint := 268435456;
    v_caller text;
    v_bytes bigint;
    v_reason text;
    v_run record;
BEGIN
    CASE p_check
        WHEN 'health' THEN
            RETURN QUERY
                SELECT
                    CASE health.severity WHEN 'unhealthy' THEN 'wrong' ELSE 'warning' END,
                    format(
                        '%s: %s', health.problem,
                        -- analytics_owner sees nothing of pg_cron. The caller may see more.
                        regexp_replace(
                            health.message, ': role \S+ (may not look into|sees no job of) pg_cron.*',
                            ': see check pg_cron'
                        )
                    ),
                    CASE
                        WHEN health.problem IN (
                            'never_populated', 'stale', 'aging', 'refresh_failed', 'missed_slot',
                            'drift'
                        ) THEN ARRAY[c_refresh]
                        WHEN health.problem <> 'scheduler_down' THEN ARRAY[]::text[]
                        WHEN EXISTS (SELECT FROM pg_extension WHERE pg_extension.extname = 'pg_cron')
                            THEN ARRAY['SELECT * FROM analytics.doctor(''schedule'');']
                        ELSE ARRAY[
                            '-- $ make scheduler  # where there is no pg_cron, as a service; else '
                            || 'see check pg_cron'
                        ]
                    END
                FROM analytics.health_problems() AS health
                -- These have a check of their own, which says more.
                WHERE health.problem NOT IN (
                    'capture_gap', 'missing_indexes', 'source_moved', 'source_hidden'
                )
                ORDER BY health.problem, health.message;
        WHEN 'last runs' THEN
            SELECT refresh_log.* INTO v_run
            FROM analytics.refresh_log
            WHERE refresh_log.view_name IS NULL
            ORDER BY refresh_log.log_id DESC
            LIMIT 1;
            RETURN QUERY
                SELECT
                    CASE
                        WHEN refresh_log.error_sqlstate = 'TA001' THEN 'warning'
                        ELSE 'wrong'
                    END,
                    format(
                        '%s failed in run %s: %s (SQLSTATE %s)',
                        coalesce(refresh_log.view_name, 'the run'), v_run.run_id,
                        refresh_log.error_message, refresh_log.error_sqlstate
                    ),
                    CASE
                        WHEN refresh_log.error_sqlstate = 'TA001' THEN ARRAY[
                            '-- The gate would hold it again. Mend the data, or accept it: check '
                            || 'health has the statement. Then refresh.'
                        ]
                        ELSE ARRAY[c_refresh]
                    END
                FROM analytics.refresh_log
                WHERE
                    v_run.refresh_status = 'ERROR'
                    AND refresh_log.run_id = v_run.run_id
                    AND refresh_log.refresh_status = 'ERROR'
                    -- A failed view says more than its run.
                    AND (
                        refresh_log.view_name IS NOT NULL
                        OR NOT EXISTS (
                            SELECT FROM analytics.refresh_log AS failed
                            WHERE
                                failed.run_id = v_run.run_id
                                AND failed.view_name IS NOT NULL
                                AND failed.refresh_status = 'ERROR'
                        )
                    )
                ORDER BY refresh_log.log_id;
            RETURN QUERY
                SELECT
                    'ok',
                    CASE
                        WHEN v_run.run_id IS NULL THEN 'there was none yet'
                        ELSE format(
                            '%s, %s, %s, %s s',
                            to_char(v_run.finished_at, 'YYYY-MM-DD HH24:MI TZ'),
                            v_run.triggered_by, v_run.mode,
                            to_char(v_run.refresh_time_ms / 1000, 'FM999,999,990.0')
                        )
                    END,
                    ARRAY[]::text[];
        WHEN 'changes that wait' THEN
            v_bytes := pg_table_size('kpi_engine.change_log');
            v_reason := kpi_engine.next_rebuild_reason();
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'the change log has %s MB: ticks keep it small, were there none?',
                        to_char(v_bytes / 1048576.0, 'FM999,999,990')
                    ),
                    ARRAY[
                        'CALL analytics.tick();  -- as analytics_scheduler or analytics_owner',
                        'VACUUM (TRUNCATE) kpi_engine.change_log;  -- gives the space back'
                    ]
                WHERE v_bytes > c_log_bytes
                UNION ALL
                SELECT
                    'ok',
                    format(
                        '%s keys, %s MB; the next refresh computes %s',
                        CASE
                            WHEN p_counts THEN kpi_engine.changes_waiting()::text
                            ELSE 'uncounted'
                        END,
                        to_char(v_bytes / 1048576.0, 'FM999,999,990'),
                        coalesce('everything again: ' || v_reason, 'what changed')
                    ),
                    ARRAY[]::text[];
        WHEN 'rebuild' THEN
            RETURN QUERY
                SELECT
                    CASE WHEN is_at_work THEN 'ok' ELSE 'warning' END,
                    format(
                        CASE
                            WHEN is_at_work THEN 'at work: %s of %s batches'
                            ELSE 'a rebuild stopped after %s of %s batches'
                        END, rebuild.batches_done, rebuild.batches
                    ),
                    CASE
                        WHEN is_at_work THEN ARRAY[]::text[]
                        ELSE ARRAY[
                            'CALL analytics.rebuild(p_restart => false);  -- goes on; outside a '
                            'transaction block'
                        ]
                    END
                FROM analytics.rebuild_progress AS rebuild
                CROSS JOIN LATERAL (
                    SELECT EXISTS (SELECT FROM analytics.lock_holders()) AS is_at_work
                ) AS session;
            IF NOT FOUND THEN
                RETURN QUERY SELECT 'ok', 'none is unfinished', ARRAY[]::text[];
            END IF;
        WHEN 'usage' THEN
            v_caller := coalesce(nullif(current_setting('role'), 'none'), session_user);
            IF NOT has_function_privilege(v_caller, 'analytics.usage_advice()', 'EXECUTE') THEN
                RAISE EXCEPTION 'permission denied for function usage_advice'
                    USING ERRCODE = 'insufficient_privilege',
                          DETAIL = format('Role %I is no operator.', v_caller),
                          HINT = format('GRANT analytics_operador TO %I;', v_caller);
            END IF;
            RETURN QUERY
                SELECT
                    'advice',
                    usage.message,
                    array_remove(ARRAY[usage.statement || ';'], NULL)
                FROM analytics.usage_advice() AS usage
                UNION ALL
                SELECT
                    'advice',
                    'calls of the HTTP API are not counted',
                    ARRAY[need.statement || ';  -- as a superuser; then restart PostgREST']
                FROM kpi_engine.package_needs() AS need
                WHERE need.purpose = 'usage' AND NOT need.is_met
                UNION ALL
                SELECT
                    'ok',
                    format('by the last %s days', analytics.setting('usage_advice_days')),
                    ARRAY[]::text[];
    END CASE;
END;
$doctor_refresh$;

COMMENT ON FUNCTION kpi_engine.doctor_refresh(text, boolean) IS
'Makes one check of group refresh of analytics.doctor(): status, message, fixes. The checks:
health: analytics.health_problems() finds no problem
last runs: the last refresh of each view succeeded
changes that wait: the change log is small; how many changes wait, and what the next refresh does
rebuild: no rebuild was left unfinished
usage: advice from usage, such as a view that nobody reads
p_counts: false leaves out checks that count rows. Errors: 42501 if the caller may not see the advice.
Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_refresh(text, boolean) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.doctor_refresh(text, boolean)
TO analytics_operador;
