-- Trigger function: refuses a setting with a wrong value.
--
-- Invariant: each value in analytics.settings can be used without another check.
-- A new setting needs a row in kpi_engine.setting_defaults() and a rule in
-- kpi_engine.setting_problem().

CREATE OR REPLACE FUNCTION kpi_engine.validate_setting()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $validate_setting$
DECLARE
    v_right_values text;
    -- Where the clock is pinned, it stands still in a transaction.
    v_transaction constant timestamptz := CASE
        WHEN kpi_engine.clock_is_pinned() THEN analytics.now()
        ELSE transaction_timestamp()
    END;
BEGIN
    v_right_values := kpi_engine.setting_problem(new.name, new.value);
    IF v_right_values IS NOT NULL THEN
        RAISE EXCEPTION 'setting % has no right value', quote_ident(new.name)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %L.', new.value),
                  HINT = v_right_values;
    END IF;
    IF new.name IN ('schedule_time', 'schedule_time_zone')
        AND (TG_OP = 'INSERT' OR new.value <> old.value) THEN
        -- What was due by then is not lost for a change before the next tick. Between two changes
        -- of one transaction nothing is due, nor by a schedule that is being set right.
        IF TG_OP = 'UPDATE'
            AND EXISTS (
                SELECT FROM kpi_engine.scheduler_state
                WHERE (
                    scheduler_state.schedule_changed_at BETWEEN v_transaction AND analytics.now()
                ) IS NOT TRUE
            )
            AND NOT EXISTS (
                SELECT FROM kpi_engine.settings
                WHERE
                    settings.name IN (
                        'schedule_time', 'schedule_time_zone', 'schedule_grace_minutes'
                    )
                    AND kpi_engine.setting_problem(settings.name, settings.value) IS NOT NULL
            ) THEN
            PERFORM kpi_engine.queue_due_slots();
        END IF;
        UPDATE kpi_engine.scheduler_state SET schedule_changed_at = analytics.now();
    END IF;
    new.updated_at := clock_timestamp();
    new.updated_by := kpi_engine.requester();
    RETURN new;
END;
$validate_setting$;

COMMENT ON FUNCTION kpi_engine.validate_setting() IS
'Trigger of analytics.settings: refuses values that are not right (22023) and stamps the change; '
'before the schedule changes it queues what is due.';

REVOKE ALL ON FUNCTION kpi_engine.validate_setting() FROM public;

CREATE OR REPLACE TRIGGER validate_setting
BEFORE INSERT OR UPDATE ON kpi_engine.settings
FOR EACH ROW EXECUTE FUNCTION kpi_engine.validate_setting();

COMMENT ON TRIGGER validate_setting ON kpi_engine.settings IS 'Keeps settings right.';
