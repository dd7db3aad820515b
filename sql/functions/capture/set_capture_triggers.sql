-- Creates or drops the triggers of change capture, as the setting change_capture or the caller
-- says.
--
-- Invariant: it touches only tables that need it, in one attempt. It waits for locks for 100 ms in
-- all. Then it fails with 55P03, and everything is as it was. The transaction that creates a
-- trigger also notes that changes before it were missed.

CREATE OR REPLACE FUNCTION kpi_engine.set_capture_triggers(p_wanted boolean DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $set_capture_triggers$
DECLARE
    v_started_at constant timestamptz := clock_timestamp();
    v_wanted boolean := p_wanted;
    v_trigger record;
    v_changed integer := 0;
    v_refused text[];
    v_created_on oid[];
BEGIN
    IF v_wanted IS NULL THEN
        v_wanted := analytics.setting('change_capture') = 'on';
    END IF;
    FOR v_trigger IN
        SELECT capture_triggers.*, capture_triggers.relation::regclass AS table_name
        FROM kpi_engine.capture_triggers()
        WHERE
            CASE
                WHEN v_wanted AND capture_triggers.definition IS NOT NULL
                    THEN
                        NOT capture_triggers.is_working
                        AND capture_triggers.relation_kind IN ('r', 'p')
                ELSE capture_triggers.is_present
            END
        ORDER BY capture_triggers.relation, capture_triggers.trigger_name
    LOOP
        PERFORM set_config('lock_timeout', greatest(
            1, 100 - 1000 * extract(EPOCH FROM clock_timestamp() - v_started_at)
        )::integer::text, true);
        BEGIN
            IF v_wanted AND v_trigger.definition IS NOT NULL THEN
                EXECUTE v_trigger.definition;
                EXECUTE format(
                    'COMMENT ON TRIGGER %I ON %s IS %L',
                    v_trigger.trigger_name, v_trigger.table_name,
                    'Change capture of teloo-analytics: see schema kpi_engine.'
                );
                EXECUTE format(
                    'ALTER TABLE %s ENABLE %s TRIGGER %I', v_trigger.table_name,
                    -- ALWAYS: also for writers with session_replication_role = replica.
                    nullif(v_trigger.firing, 'ORIGIN'), v_trigger.trigger_name
                );
                v_created_on := v_created_on || v_trigger.relation;
            ELSE
                EXECUTE format(
                    'DROP TRIGGER %I ON %s', v_trigger.trigger_name, v_trigger.table_name
                );
            END IF;
            v_changed := v_changed + 1;
        EXCEPTION WHEN insufficient_privilege THEN
            v_refused := v_refused || v_trigger.table_name::text;
        END;
    END LOOP;
    IF v_refused IS NOT NULL THEN
        RAISE EXCEPTION 'role % may not create or drop triggers on %', current_user,
            (SELECT string_agg(DISTINCT name, ', ') FROM unnest(v_refused) AS name)
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Nothing was changed. Without change capture every refresh computes '
                           'everything again.',
                  HINT = 'As the owner of these tables and member of analytics_owner, or as a '
                         'superuser: CALL analytics.apply_change_capture();';
    END IF;
    IF v_created_on IS NOT NULL THEN
        PERFORM kpi_engine.note_new_triggers(v_created_on);
    END IF;
    RETURN v_changed;
END;
$set_capture_triggers$;

COMMENT ON FUNCTION kpi_engine.set_capture_triggers(boolean) IS
'Creates the triggers of change capture that are missing, or drops them where p_wanted is false '
'(without it, where the setting change_capture is off); returns how many. Errors: 55P03 when a '
'table is busy, 42501 for a role that does not own the tables. Internal: CALL '
'analytics.apply_change_capture().';

REVOKE ALL ON FUNCTION kpi_engine.set_capture_triggers(boolean) FROM public;
