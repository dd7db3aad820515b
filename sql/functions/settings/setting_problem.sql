-- Names the right values of a setting, if the given one is wrong.
--
-- Invariant: NULL if and only if the setting exists and may have the value. Each rule is only here.
-- The trigger of analytics.settings and the doctor ask this function.

CREATE OR REPLACE FUNCTION kpi_engine.setting_problem(p_name text, p_value text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $setting_problem$
    SELECT CASE
        WHEN p_name IN ('time_zone', 'schedule_time_zone') THEN
            CASE
                WHEN NOT EXISTS (
                    SELECT FROM pg_timezone_names AS zone WHERE zone.name = p_value
                ) THEN 'Take a name from pg_timezone_names, such as America/Bogota.'
                -- CET, EST, HST, MET: to PostgreSQL, abbreviations without summer time.
                WHEN
                    p_value ~ '^[A-Z]{3,}$'
                    AND p_value NOT IN ('UTC', 'GMT', 'UCT', 'PRC', 'ROC', 'ROK')
                    THEN 'PostgreSQL takes it for an offset without summer time: name a place, such as '
                        || 'Europe/Madrid.'
                -- As EST5EDT: to one version of the time zone data the rules of a country, to
                -- another those of New York.
                WHEN p_value ~ '^[A-Z]{3,}[0-9]' AND p_value <> 'GMT0'
                    THEN 'It is an old name without a place, which versions of the time zone data '
                        || 'understand differently: name a place, such as America/New_York.'
                -- The server decides what these mean, or they mean nothing.
                WHEN p_value IN ('Factory', 'localtime', 'posixrules') OR p_value ~ '^(posix|right)/'
                    THEN 'It means another zone on another server: name a place, such as '
                        || 'America/Bogota.'
            END
        WHEN p_name = 'schedule_time' THEN
            CASE WHEN p_value !~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
            THEN 'Take a local time HH:MM from 00:00 to 23:59, such as 01:00.' END
        WHEN p_name IN ('target_lag', 'replica_lag') THEN
            CASE
                WHEN
                    p_value !~ (
                        '^(off|1 minute|([2-9]|[1-9][0-9]{1,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440) minutes'
                        || '|1 hour|([2-9]|1[0-9]|2[0-4]) hours)$'
                    )
                    THEN 'Take off, or a time from 1 minute to 1440 minutes or from 1 hour to 24 '
                        || 'hours, such as 5 minutes.'
            END
        WHEN p_name IN ('rebuild_threshold_pct', 'gate_lost_rows_pct', 'gate_null_points') THEN
            CASE WHEN p_value !~ '^([1-9][0-9]?|100)$'
            THEN 'Take a whole number from 1 to 100.' END
        WHEN p_name = 'rebuild_batch_requests' THEN
            CASE WHEN p_value !~ '^([1-9][0-9]{2,6}|10000000)$'
            THEN 'Take a whole number from 100 to 10000000.' END
        WHEN p_name = 'audit_rotation' THEN
            CASE WHEN p_value !~ '^([1-9]|[12][0-9]|30|off)$'
            THEN 'Take a whole number from 1 to 30, or off.' END
        WHEN p_name IN (
            'api_forced_requests', 'slow_refresh_least_ms', 'gate_least_requests',
            'gate_least_count'
        ) THEN
            CASE WHEN p_value !~ '^([0-9]|[1-9][0-9]{1,8}|1000000000)$'
            THEN 'Take a whole number from 0 to 1000000000.' END
        WHEN p_name IN (
            'schedule_grace_minutes', 'refresh_retries', 'refresh_retry_minutes',
            'refresh_max_minutes', 'log_retention_days', 'cron_retention_days',
            'alert_after_minutes', 'hub_days'
        ) THEN
            CASE WHEN p_value !~ '^([0-9]|[1-9][0-9]{1,4}|100000)$'
            THEN 'Take a whole number from 0 to 100000.' END
        WHEN p_name IN (
            'segment_new_days', 'segment_recent_days', 'segment_active_offers',
            'segment_star_value', 'segment_dormant_days', 'segment_dormant_value',
            'segment_risk_offers', 'segment_steady_days', 'segment_steady_offers'
        ) THEN
            CASE WHEN p_value !~ '^([0-9]|[1-9][0-9]{1,14})$'
            THEN 'Take a whole number from 0 to 999999999999999.' END
        WHEN p_name = 'publication_history' THEN
            CASE WHEN p_value !~ (
                '^(\w{1,63}|\*)=([1-9][0-9]{0,4}|all|none)'
                '(, ?(\w{1,63}|\*)=([1-9][0-9]{0,4}|all|none))*$'
            )
            THEN 'Take view=days, view=all or view=none, with commas between them, such as '
                || 'mv_ranking_asesores=90, *=all.'
            -- The default is written before there are views.
            WHEN p_value IS DISTINCT FROM (
                SELECT listed.value
                FROM kpi_engine.setting_defaults() AS listed
                WHERE listed.name = p_name
            ) AND EXISTS (
                SELECT FROM regexp_matches(p_value, '(\w+)=', 'g') AS named (parts)
                WHERE named.parts[1] NOT IN (
                    SELECT kpi.view_name FROM kpi_engine.kpi_views() AS kpi
                )
            )
            THEN 'Name views of: ' || (
                SELECT string_agg(kpi.view_name, ', ' ORDER BY kpi.view_name)
                FROM kpi_engine.kpi_views() AS kpi
            ) || '; or * for the others.' END
        WHEN p_name = 'closing_days' THEN
            CASE WHEN p_value !~ '^([0-9]|[1-9][0-9]|[12][0-9]{2}|3[0-5][0-9]|36[0-6])$'
            THEN 'Take a whole number from 0 to 366.' END
        WHEN p_name IN ('gate_closed_pct', 'hub_timeout_seconds', 'alert_expiry_hours') THEN
            CASE WHEN p_value !~ '^([1-9][0-9]{0,4}|100000)$'
            THEN 'Take a whole number from 1 to 100000.' END
        WHEN p_name = 'breaker_pct' THEN
            CASE WHEN p_value !~ '^([1-9][0-9]?|100|off)$'
            THEN 'Take a whole number from 1 to 100, or off.' END
        WHEN p_name = 'restatement_alert_pct' THEN
            CASE WHEN p_value !~ '^([0-9]|[1-9][0-9]{1,4}|100000|off)$'
            THEN 'Take a whole number from 0 to 100000, or off.' END
        WHEN p_name = 'target_alert' THEN
            CASE
                WHEN p_value IN ('off', 'all') THEN NULL
                WHEN p_value !~ '^\w{1,63}(, ?\w{1,63})*$'
                    OR NOT regexp_split_to_array(p_value, ', *') <@ ARRAY(
                        SELECT kpi.view_name
                        FROM kpi_engine.kpi_views() AS kpi
                        WHERE kpi.key_columns = ARRAY[kpi.time_column]
                    )
                    THEN 'Take off, all, or views with one row for each month, week or day, with '
                        || 'commas between them, of: ' || (
                            SELECT string_agg(kpi.view_name, ', ' ORDER BY kpi.view_name)
                            FROM kpi_engine.kpi_views() AS kpi
                            WHERE kpi.key_columns = ARRAY[kpi.time_column]
                        ) || '.'
            END
        WHEN p_name = 'usage_advice_days' THEN
            CASE WHEN p_value !~ '^([1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]|36[0-6])$'
            THEN 'Take a whole number from 1 to 366.' END
        WHEN p_name IN ('allow_pinned_clock', 'change_capture', 'gate') THEN
            CASE WHEN p_value NOT IN ('on', 'off') THEN 'Take on or off.' END
        ELSE 'There is no setting of this name.'
    END;
$setting_problem$;

COMMENT ON FUNCTION kpi_engine.setting_problem(text, text) IS
'Which values a setting may have; NULL where the given one is right.';

REVOKE ALL ON FUNCTION kpi_engine.setting_problem(text, text) FROM public;
