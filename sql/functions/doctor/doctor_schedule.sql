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
        WHEN 'notices', 'digests' THEN
            RETURN QUERY
                WITH waiting AS (
                    SELECT
                        notice.notice_id AS place,
                        notice.created_at,
                        notice.attempts,
                        notice.next_attempt_at,
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
                        p_check = 'notices'
                        AND notice.delivered_at IS NULL
                        AND raised.notice_id IS NULL
                        -- Notices older than the first attempt of a notifier do not count.
                        AND EXISTS (
                            SELECT FROM analytics.alert_outbox AS tried
                            WHERE tried.attempts > 0 AND tried.notice_id <= notice.notice_id
                        )
                    UNION ALL
                    SELECT
                        digest.delivery_id,
                        digest.created_at,
                        digest.attempts,
                        digest.next_attempt_at,
                        digest.last_error
                    FROM analytics.digest_deliveries AS digest
                    WHERE p_check = 'digests' AND digest.delivered_at IS NULL
                    UNION ALL
                    SELECT NULL, due.due_since, 0, '-infinity', NULL
                    FROM kpi_engine.due_digests() AS due
                    WHERE p_check = 'digests' AND due.due_since < analytics.now() - c_stuck
                ),

                stuck AS (
                    SELECT
                        waiting.*,
                        CASE
                            WHEN waiting.next_attempt_at = 'infinity' THEN 'given up'
                            WHEN waiting.next_attempt_at < clock_timestamp() - c_stuck THEN 'left'
                            ELSE 'failing'
                        END AS state
                    FROM waiting
                    WHERE
                        waiting.attempts > c_failed_attempts
                        OR waiting.next_attempt_at = 'infinity'
                        OR waiting.next_attempt_at < clock_timestamp() - c_stuck
                )

                SELECT
                    'warning',
                    format(
                        '%s %s %s', count(*),
                        CASE p_check
                            WHEN 'notices' THEN 'notice(s) of alerts'
                            ELSE 'digest(s)'
                        END,
                        format(
                            state.message,
                            to_char(min(stuck.created_at), 'YYYY-MM-DD HH24:MI'),
                            coalesce((
                                array_agg(stuck.last_error ORDER BY stuck.place DESC)
                            )[1], 'never tried')
                        )
                    ),
                    ARRAY[state.fix]
                FROM (
                    VALUES
                    (
                        1,
                        'left',
                        CASE p_check
                            WHEN 'notices' THEN 'wait since %s, and no notifier takes them'
                            ELSE 'wait since %s, and no notifier with ALERT_SMTP_URL takes them'
                        END,
                        CASE p_check
                            WHEN 'notices' THEN '-- $ make notifier  '
                                || '# as a service: config/systemd/teloo-notifier.service'
                            ELSE '-- $ make notifier  # with ALERT_SMTP_URL and ALERT_EMAIL_FROM'
                        END
                    ),
                    (
                        2, 'failing', 'since %s do not arrive: %s',
                        '-- Mend what it says; the notifier tries again at least every hour.'
                    ),
                    (
                        3, 'given up', 'since %s were given up: %s',
                        format(
                            'DELETE FROM kpi_engine.%I WHERE delivered_at IS NULL AND '
                            'next_attempt_at = ''infinity'';  -- once who should know knows; as '
                            'analytics_owner',
                            CASE p_check
                                WHEN 'notices' THEN 'alert_outbox'
                                ELSE 'digest_deliveries'
                            END
                        )
                    )
                ) AS state (place, name, message, fix)
                INNER JOIN stuck ON stuck.state = state.name
                GROUP BY state.place, state.message, state.fix
                ORDER BY state.place;
    END CASE;
END;
$doctor_schedule$;

COMMENT ON FUNCTION kpi_engine.doctor_schedule(text) IS
'Makes three checks of group schedule of analytics.doctor(): status, message, fixes. The checks:
jobs: no refresh job is stuck, and no refresh runs for too long
notices: each notice of an alert was delivered
digests: each digest was sent
Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_schedule(text) FROM public;
