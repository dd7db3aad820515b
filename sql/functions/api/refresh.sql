-- POST /materialized-views/refresh: refreshes now, and answers when it is done.
--
-- Invariant: it never raises a serialization failure, which PostgREST would retry without end. It
-- says that another refresh is running only if one is: analytics.work() takes the lock for a moment
-- each minute, also without a queued job. It has a time limit of its own, which PostgREST sets for
-- the request. It reads the source only inside EXCEPTION blocks: a fault of the source is not the
-- caller's.

CREATE OR REPLACE FUNCTION api.refresh(force text DEFAULT NULL)
RETURNS json
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET statement_timeout = '15min'
AS $refresh$
DECLARE
    v_running record;
    v_stranger text;
    v_answer json;
    v_is_large boolean;
BEGIN
    IF force NOT IN ('true', 'false') THEN
        PERFORM kpi_engine.raise_bad_parameter('force', force, 'true or false');
    END IF;
    IF force = 'true' THEN
        BEGIN
            v_is_large := EXISTS (
                SELECT FROM kpi_engine.src_solicitudes
                OFFSET analytics.setting('api_forced_requests')::bigint
            );
        EXCEPTION
            -- The refresh meets the same fault of the source, logs it and answers with it.
            WHEN OTHERS THEN
                v_is_large := false;
        END;
        IF v_is_large THEN
            RETURN kpi_engine.accepted(kpi_engine.queue_refresh(true, kpi_engine.requester()));
        END IF;
    END IF;
    FOR v_try IN 1..15 LOOP
        EXIT WHEN pg_try_advisory_xact_lock(kpi_engine.refresh_lock_key());
        -- It does not wait for a session that is no refresh.
        v_stranger := (
            SELECT format('process %s of role %s', holders.pid, holders.role_name)
            FROM analytics.lock_holders() AS holders
            WHERE holders.is_stranger
            LIMIT 1
        );
        EXIT WHEN v_stranger IS NOT NULL;
        v_running := analytics.running_refresh();
        EXIT WHEN v_running.started_at IS NOT NULL OR v_running.job_id IS NOT NULL;
        PERFORM pg_sleep(0.02);
    END LOOP;
    PERFORM set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
    BEGIN
        SELECT json_build_object(
            'success', bool_and(result.refresh_status = 'SUCCESS'),
            'total_views', count(*) FILTER (WHERE result.view_name IS NOT NULL),
            'successful_refreshes', count(*) FILTER (
                WHERE result.view_name IS NOT NULL AND result.refresh_status = 'SUCCESS'),
            'total_duration_ms', max(result.refresh_time_ms) FILTER (
                WHERE result.view_name IS NULL),
            'refreshed_at', kpi_engine.iso_instant(analytics.now()),
            'details', coalesce(
                json_agg(json_build_object(
                    'view_name', result.view_name,
                    'refresh_status', result.refresh_status,
                    'refresh_time_ms', result.refresh_time_ms,
                    'rows_affected', result.rows_affected,
                    'error_message', kpi_engine.public_error(
                        result.error_message, result.error_sqlstate)
                )) FILTER (WHERE result.view_name IS NOT NULL),
                '[]'
            ),
            'error', max(kpi_engine.public_error(result.error_message, result.error_sqlstate))
                FILTER (WHERE result.view_name IS NULL)
        )
        INTO v_answer
        FROM kpi_engine.run_refresh(
            'manual', kpi_engine.requester(), coalesce(force, 'false')::boolean
        ) AS result;
    EXCEPTION
        WHEN lock_not_available OR serialization_failure OR deadlock_detected THEN
            IF v_stranger IS NOT NULL THEN
                PERFORM kpi_engine.raise_http_error(
                    409,
                    'no refresh can begin: a session that is no refresh holds the lock',
                    v_stranger,
                    'GET /health tells a lector or operador who it is and how to end it '
                    '(problem lock_blocked).'
                );
            END IF;
            v_running := analytics.running_refresh();
            PERFORM kpi_engine.raise_http_error(
                409,
                'a refresh is already running',
                CASE
                    WHEN v_running.pid IS NULL THEN 'It has just ended.'
                    ELSE format(
                        'Session %s%s, since %s.', v_running.pid,
                        CASE
                            WHEN v_running.job_id IS NOT NULL THEN format(
                                ', job %s of %s', v_running.job_id, v_running.requested_by)
                        END,
                        coalesce(kpi_engine.iso_instant(v_running.started_at), 'an unknown moment')
                    )
                END,
                'Wait for it; POST /materialized-views/scheduler/trigger-refresh queues another.'
            );
    END;
    RETURN v_answer;
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('refresh', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$refresh$;

COMMENT ON FUNCTION api.refresh(text) IS
'Refreshes all materialized views now. It computes what changed, or everything with force=true. '
'If the source has more requests than the setting api_forced_requests, a forced refresh is queued '
'(202). A view that failed has its error_message, and success is false. Status 409 while another '
'refresh runs.';

REVOKE ALL ON FUNCTION api.refresh(text) FROM public;
GRANT EXECUTE ON FUNCTION api.refresh(text) TO analytics_operador;
