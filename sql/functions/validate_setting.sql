-- Trigger function: refuses a setting whose value is not right.
--
-- Invariant: what analytics.settings holds can be used without checking it again.
-- A new setting gets its row in a migration and its rule here.

CREATE OR REPLACE FUNCTION analytics.validate_setting()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $validate_setting$
DECLARE
    v_right_values text;
BEGIN
    v_right_values := CASE
        WHEN new.name IN ('time_zone', 'schedule_time_zone') THEN
            CASE WHEN NOT EXISTS (
                SELECT FROM pg_timezone_names AS zone WHERE zone.name = new.value
            ) THEN 'Take a name from pg_timezone_names, such as America/Bogota.' END
        WHEN new.name = 'schedule_time' THEN
            CASE WHEN new.value !~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'
            THEN 'Take a local time HH:MM from 00:00 to 23:59, such as 01:00.' END
        WHEN new.name = 'rebuild_threshold_pct' THEN
            CASE WHEN new.value !~ '^([1-9][0-9]?|100)$'
            THEN 'Take a whole number from 1 to 100.' END
        WHEN new.name = 'rebuild_batch_requests' THEN
            CASE WHEN new.value !~ '^([1-9][0-9]{2,6}|10000000)$'
            THEN 'Take a whole number from 100 to 10000000.' END
        WHEN new.name = 'audit_rotation' THEN
            CASE WHEN new.value !~ '^([1-9]|[12][0-9]|30|off)$'
            THEN 'Take a whole number from 1 to 30, or off.' END
        WHEN new.name IN ('api_forced_requests', 'slow_refresh_least_ms') THEN
            CASE WHEN new.value !~ '^([0-9]|[1-9][0-9]{1,8}|1000000000)$'
            THEN 'Take a whole number from 0 to 1000000000.' END
        WHEN new.name IN (
            'schedule_grace_minutes', 'refresh_retries', 'refresh_retry_minutes',
            'refresh_max_minutes', 'log_retention_days', 'cron_retention_days'
        ) THEN
            CASE WHEN new.value !~ '^([0-9]|[1-9][0-9]{1,4}|100000)$'
            THEN 'Take a whole number from 0 to 100000.' END
        WHEN new.name IN ('allow_pinned_clock', 'change_capture') THEN
            CASE WHEN new.value NOT IN ('on', 'off') THEN 'Take on or off.' END
        ELSE 'There is no setting of this name.'
    END;
    IF v_right_values IS NOT NULL THEN
        RAISE EXCEPTION 'setting % has no right value', quote_ident(new.name)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %L.', new.value),
                  HINT = v_right_values;
    END IF;
    IF new.name IN ('schedule_time', 'schedule_time_zone')
        AND (TG_OP = 'INSERT' OR new.value <> old.value) THEN
        UPDATE analytics.scheduler_state SET schedule_changed_at = analytics.now();
    END IF;
    new.updated_at := clock_timestamp();
    new.updated_by := session_user;
    RETURN new;
END;
$validate_setting$;

COMMENT ON FUNCTION analytics.validate_setting() IS
'Trigger of analytics.settings: refuses values that are not right (22023) and stamps the change.';

REVOKE ALL ON FUNCTION analytics.validate_setting() FROM public;

CREATE OR REPLACE TRIGGER validate_setting
BEFORE INSERT OR UPDATE ON analytics.settings
FOR EACH ROW EXECUTE FUNCTION analytics.validate_setting();

COMMENT ON TRIGGER validate_setting ON analytics.settings IS 'Keeps settings right.';
