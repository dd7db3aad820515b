-- Lists all settings, with their values in a new installation.
--
-- Invariant: each name here has a rule in kpi_engine.setting_problem(), and each rule has a name
-- here. migrate inserts from this file the settings that analytics.settings does not have. Existing
-- settings stay. docs/reference/settings.md is made from it: make reference.

CREATE OR REPLACE FUNCTION kpi_engine.setting_defaults()
RETURNS TABLE (name text, value text, description text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $setting_defaults$
    VALUES
    (
        'time_zone', 'America/Bogota',
        'Zone of local days and months. A name from pg_timezone_names.'
    ),
    (
        'schedule_time', '01:00',
        'Local time of the daily refresh, HH:MM from 00:00 to 23:59.'
    ),
    (
        'schedule_time_zone', 'America/Bogota',
        'Zone of schedule_time. A name from pg_timezone_names.'
    ),
    (
        'target_lag', 'off',
        'How long changes may wait, beside the daily refresh: a tick queues a refresh when they have '
        'waited for that long. It needs change_capture. off, or a time from 1 minute to 24 hours: 1 '
        'minute, 5 minutes, 1 hour, 2 hours.'
    ),
    (
        'replica_lag', '5 minutes',
        'Where a subscription (logical replication) brings the operational tables: how far it may be '
        'behind before health says replica_lag. off, or a time from 1 minute to 24 hours, as for '
        'target_lag.'
    ),
    (
        'hub_days', '0',
        'For how long a site keeps for a hub which facts changed. A hub that was away for longer takes '
        'all rows. Days, a whole number from 0 to 100000; 0: this is no site of a hub.'
    ),
    (
        'hub_timeout_seconds', '60',
        'At a hub: how long a refresh waits for one answer of a site. Seconds, a whole number from 1 to '
        '100000.'
    ),
    (
        'allow_pinned_clock', 'off',
        'on: SET analytics.now = ''…'' pins the clock of a session, for tests. off: it is refused. '
        'make migrate sets it: off with ENVIRONMENT=production, else on.'
    ),
    (
        'change_capture', 'on',
        'on: triggers on the operational tables note the keys of changed rows. off: there are no '
        'triggers, and each refresh computes everything again. To put a change into effect: CALL '
        'analytics.apply_change_capture(), or make migrate.'
    ),
    (
        'rebuild_threshold_pct', '40',
        'If more than this share of all requests changed, a refresh computes everything again. '
        'Percent, a whole number from 1 to 100.'
    ),
    (
        'rebuild_batch_requests', '200000',
        'Requests that analytics.rebuild() computes between two commits. This bounds its memory. A '
        'whole number from 100 to 10000000.'
    ),
    (
        'audit_rotation', '30',
        'The self-audit goes through all of history in so many scheduled refreshes. A whole number '
        'from 1 to 30, or off.'
    ),
    (
        'api_forced_requests', '100000',
        'Up to this many requests in the source, POST …/refresh?force=true computes everything at '
        'once. If there are more, it is queued and answers 202. A whole number from 0 to 1000000000.'
    ),
    (
        'slow_refresh_least_ms', '10000',
        'A refresh that took less time is never the problem slow. Milliseconds, a whole number '
        'from 0 to 1000000000.'
    ),
    (
        'schedule_grace_minutes', '60',
        'A daily slot is missed if its refresh starts later than this after its time. Minutes, a '
        'whole number from 0 to 100000.'
    ),
    (
        'refresh_retries', '2',
        'How often a failed scheduled refresh is tried again. A whole number from 0 to 100000.'
    ),
    (
        'refresh_retry_minutes', '5',
        'Wait before the first retry of a scheduled refresh. It doubles with each retry. Minutes, a '
        'whole number from 0 to 100000.'
    ),
    (
        'refresh_max_minutes', '360',
        'A tick cancels a refresh that runs longer, whoever started it. Minutes, a whole number from '
        '0 to 100000; 0: never.'
    ),
    (
        'log_retention_days', '400',
        'How long refreshes, jobs, audits and alerts stay in their logs. Lines that are still needed '
        'stay longer. Days, a whole number from 0 to 100000.'
    ),
    (
        'cron_retention_days', '7',
        'How long the runs of the two jobs stay in cron.job_run_details. Days, a whole number from 0 '
        'to 100000.'
    ),
    (
        'alert_after_minutes', '1',
        'A problem becomes an alert if it lasts for this time. Minutes, a whole number from 0 to '
        '100000.'
    ),
    (
        'alert_expiry_hours', '72',
        'The notifier gives a notice up if it could not deliver it for this time. Hours, a whole '
        'number from 1 to 100000.'
    ),
    (
        'usage_advice_days', '14',
        'Usage advice looks at the use of so many days. There is no advice before that time. Days, a '
        'whole number from 1 to 366.'
    ),
    (
        'publication_history', 'mv_ranking_asesores=90',
        'For how long the history of what was published is kept: view=days, view=all or view=none, with '
        'commas between them; * is every view that is not named. A view that is not named is kept for ever.'
    ),
    (
        'closing_days', '5',
        'A month, week or day closes so many days after its end. What is published then is its '
        'reported figure. A whole number from 0 to 366.'
    ),
    (
        'restatement_alert_pct', '5',
        'A figure of a closed period that moves by at least this share is the problem restated for a '
        'day. Percent, a whole number from 0 to 100000, or off.'
    ),
    (
        'target_alert', 'off',
        'A closed period that misses its target is the problem target_missed for a day. off, all, or '
        'views with commas between them: KPI views with one row for each month, week or day.'
    ),
    (
        'gate', 'on',
        'on: a refresh does not publish a view that breaks a rule of the gate, until an operator accepts '
        'it. off: it publishes everything.'
    ),
    (
        'gate_closed_pct', '20',
        'The gate holds a view if the sum of a column over a closed period moves by more than this '
        'from the reported one. Percent, a whole number from 1 to 100000.'
    ),
    (
        'gate_lost_rows_pct', '20',
        'The gate holds a view that loses more than this share of its rows. Percent, a whole number '
        'from 1 to 100.'
    ),
    (
        'gate_null_points', '20',
        'The gate holds a view if the share of NULLs in a column rises by more than this. Percentage '
        'points, a whole number from 1 to 100.'
    ),
    (
        'gate_least_count', '100',
        'Closed periods with smaller counts move by large shares every day: the gate does not look at '
        'them. A whole number from 0 to 1000000000.'
    ),
    (
        'breaker_pct', '50',
        'If more than this share of all known requests changed at once, the refresh waits for the word '
        'of an operator. Percent, a whole number from 1 to 100, or off.'
    ),
    (
        'gate_least_requests', '1000',
        'With fewer requests than this, figures move by large shares every day: gate, breaker and the '
        'problem restated keep still. A whole number from 0 to 1000000000.'
    ),
    (
        'segment_new_days', '30',
        'An advisor is NUEVO for so many days after registration. A whole number from 0.'
    ),
    (
        'segment_recent_days', '7',
        'ESTRELLA and EN_ASCENSO have an offer at most so many days old. A whole number from 0.'
    ),
    (
        'segment_active_offers', '10',
        'ESTRELLA and EN_ASCENSO made more offers than this in the last 30 days. A whole number from 0.'
    ),
    (
        'segment_star_value', '6000000',
        'ESTRELLA has at least this accepted value in the last 90 days. Pesos, a whole number from 0.'
    ),
    (
        'segment_dormant_days', '30',
        'GIGANTE_DORMIDO has no offer for more days than this. A whole number from 0.'
    ),
    (
        'segment_dormant_value', '6000000',
        'GIGANTE_DORMIDO has at least this accepted value of all time. Pesos, a whole number from 0.'
    ),
    (
        'segment_risk_offers', '4',
        'EN_RIESGO made at least so many offers in the 30 days before the last 30, and at most half of '
        'them since. A whole number from 0.'
    ),
    (
        'segment_steady_days', '14',
        'CONSISTENTE has an offer at most so many days old. A whole number from 0.'
    ),
    (
        'segment_steady_offers', '5',
        'CONSISTENTE made at least so many offers in the last 30 days. A whole number from 0.'
    );
$setting_defaults$;

COMMENT ON FUNCTION kpi_engine.setting_defaults() IS
'All settings: name, value in a new installation, description. Internal to the doctor and migrate.';

REVOKE ALL ON FUNCTION kpi_engine.setting_defaults() FROM public;
