-- The checks of the doctor about waiting refreshes, notices of alerts and digests.
--
-- Invariant: a refresh, notice or digest on its way is well. Only a stuck one is a finding.
-- SECURITY DEFINER: it asks what only analytics_owner may; granted to nobody.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_schedule(p_check text)
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
AS $doctor_schedule$
#variable_conflict use_column
DECLARE
    -- work() takes jobs each minute. A notifier asks for notices each second.
    c_stuck constant interval := interval '10 minutes';
    -- Four attempts take two minutes. After that it is more than a restart of a server.
    c_failed_attempts constant integer := 3;
    v_limit integer;
    v_running record;
BEGIN
    CASE p_check
        WHEN 'jobs' THEN
            v_limit := analytics.setting('refresh_max_minutes')::integer;
            SELECT running.* INTO v_running FROM analytics.running_refresh() AS running;
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'refresh job %s of %s is %s', job.job_id,
                        to_char(job.requested_at, 'YYYY-MM-DD HH24:MI'), CASE job.state
                            WHEN 'RUNNING' THEN 'RUNNING without a session'
                            ELSE 'queued and nobody takes it'
                        END
                    ),
                    ARRAY[
                        'CALL analytics.work();  -- as analytics_scheduler or analytics_owner, '
                        || 'outside a transaction block'
                    ]
                FROM analytics.refresh_jobs AS job
                WHERE
                    v_running.pid IS NULL
                    AND (
                        job.state = 'RUNNING'
                        OR job.state = 'QUEUED'
                        AND coalesce(job.run_after, job.requested_at) < analytics.now() - c_stuck
                    )
                ORDER BY job.job_id;
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        'a refresh runs since %s, over %s minutes',
                        to_char(v_running.started_at, 'YYYY-MM-DD HH24:MI'), v_limit
                    ),
                    ARRAY[format(
                        'SELECT pg_terminate_backend(%s);  -- as a superuser', v_running.pid
                    )]
                WHERE
                    v_limit > 0
                    AND clock_timestamp() - v_running.started_at > make_interval(mins => v_limit);
            RETURN QUERY
                SELECT
                    'ok',
                    CASE
                        WHEN v_running.pid IS NULL THEN 'none waits too long'
                        ELSE 'a refresh is running'
                    END,
                    ARRAY[]::text[];
        WHEN 'notices' THEN
            RETURN QUERY
                WITH stuck AS (
                    SELECT
                        CASE
                            WHEN notice.next_attempt_at = 'infinity' THEN 'given up'
                            WHEN notice.next_attempt_at < clock_timestamp() - c_stuck THEN 'left'
                            ELSE 'failing'
                        END AS state,
                        notice.notice_id,
                        notice.created_at,
                        notice.last_error
                    FROM analytics.alert_outbox AS notice
                    -- The notice "cleared" waits for the notice "raised".
                    LEFT JOIN analytics.alert_outbox AS raised
                        ON raised.alert_id = notice.alert_id
                        AND notice.event = 'cleared'
                        AND raised.event = 'raised'
                        AND raised.delivered_at IS NULL
                        AND raised.next_attempt_at < 'infinity'
                    WHERE
                        notice.delivered_at IS NULL
                        AND raised.notice_id IS NULL
                        AND (
                            notice.attempts > c_failed_attempts
                            OR notice.next_attempt_at = 'infinity'
                            OR notice.next_attempt_at < clock_timestamp() - c_stuck
                        )
                        -- Notices older than the first attempt of a notifier do not count.
                        AND EXISTS (
                            SELECT FROM analytics.alert_outbox AS tried
                            WHERE tried.attempts > 0 AND tried.notice_id <= notice.notice_id
                        )
                )

                SELECT
                    'warning',
                    format(
                        '%s notice(s) of alerts %s', count(stuck.notice_id),
                        format(
                            state.message,
                            to_char(min(stuck.created_at), 'YYYY-MM-DD HH24:MI'),
                            coalesce((
                                array_agg(stuck.last_error ORDER BY stuck.notice_id DESC)
                            )[1], 'never tried')
                        )
                    ),
                    ARRAY[state.fix]
                FROM (
                    VALUES
                    (
                        1, 'left', 'wait since %s, and no notifier takes them',
                        '-- $ make notifier  # as a service: config/systemd/teloo-notifier.service'
                    ),
                    (
                        2, 'failing', 'since %s do not arrive: %s',
                        '-- Mend what it says; the notifier tries again at least every hour.'
                    ),
                    (
                        3, 'given up', 'since %s were given up: %s',
                        'DELETE FROM kpi_engine.alert_outbox WHERE delivered_at IS NULL AND '
                        || 'next_attempt_at = ''infinity'';  -- once who should know knows; as '
                        || 'analytics_owner'
                    )
                ) AS state (place, name, message, fix)
                INNER JOIN stuck ON stuck.state = state.name
                GROUP BY state.place, state.message, state.fix
                ORDER BY state.place;
        WHEN 'digests' THEN
            RETURN QUERY
                WITH stuck AS (
                    SELECT
                        CASE
                            WHEN digest.next_attempt_at = 'infinity' THEN 'given up'
                            WHEN digest.next_attempt_at < clock_timestamp() - c_stuck THEN 'left'
                            ELSE 'failing'
                        END AS state,
                        digest.delivery_id,
                        digest.created_at,
                        digest.last_error
                    FROM analytics.digest_deliveries AS digest
                    WHERE
                        digest.delivered_at IS NULL
                        AND (
                            digest.attempts > c_failed_attempts
                            OR digest.next_attempt_at = 'infinity'
                            OR digest.next_attempt_at < clock_timestamp() - c_stuck
                        )
                    UNION ALL
                    SELECT 'left', NULL, due.due_since, NULL
                    FROM kpi_engine.due_digests() AS due
                    WHERE due.due_since < analytics.now() - c_stuck
                )

                SELECT
                    'warning',
                    format(
                        '%s digest(s) %s', count(*),
                        format(
                            state.message,
                            to_char(min(stuck.created_at), 'YYYY-MM-DD HH24:MI'),
                            coalesce((
                                array_agg(stuck.last_error ORDER BY stuck.delivery_id DESC)
                            )[1], 'never tried')
                        )
                    ),
                    ARRAY[state.fix]
                FROM (
                    VALUES
                    (
                        1, 'left', 'wait since %s, and no notifier with ALERT_SMTP_URL takes them',
                        '-- $ make notifier  # with ALERT_SMTP_URL and ALERT_EMAIL_FROM'
                    ),
                    (
                        2, 'failing', 'since %s do not arrive: %s',
                        '-- Mend what it says; the notifier tries again at least every hour.'
                    ),
                    (
                        3, 'given up', 'since %s were given up: %s',
                        'DELETE FROM kpi_engine.digest_deliveries WHERE delivered_at IS NULL AND '
                        || 'next_attempt_at = ''infinity'';  -- once who should know knows; as '
                        || 'analytics_owner'
                    )
                ) AS state (place, name, message, fix)
                INNER JOIN stuck ON stuck.state = state.name
                GROUP BY state.place, state.message, state.fix
                ORDER BY state.place;
    END CASE;
END;
$doctor_schedule$;

COMMENT ON FUNCTION kpi_engine.doctor_schedule(text) IS
'Makes two checks of group schedule of analytics.doctor(): status, message, fixes. The checks:
jobs: no refresh job is stuck, and no refresh runs for too long
notices: each notice of an alert was delivered
digests: each digest was sent
Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_schedule(text) FROM public;
