-- The check pg_cron of the doctor: do the jobs of this database run?
--
-- Invariant: it looks only into this database. If pg_cron lives in another one, it says only that.
-- scripts/doctor.py then looks there.
-- SECURITY INVOKER: pg_cron shows each role its own jobs, and superusers all. So a caller who is no
-- superuser looks as the role of the jobs.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_cron()
RETURNS TABLE (status text, message text, fixes text[])
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $doctor_cron$
#variable_conflict use_column
DECLARE
    v_is_superuser constant boolean := (
        SELECT pg_roles.rolsuper FROM pg_roles WHERE pg_roles.rolname = current_user
    );
    v_role_before constant text := current_setting('role');
    v_role text;
    v_ticks boolean;
    v_is_down boolean;
    v_reason text;
    v_home text;
    v_elsewhere text[];
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN QUERY SELECT 'ok', 'a standby runs no jobs', ARRAY[]::text[];
        RETURN;
    END IF;
    SELECT installation.cron_role INTO v_role FROM kpi_engine.installation;
    v_is_down := NOT kpi_engine.scheduler_is_running();
    SELECT NOT v_is_down AND scheduler_state.last_tick_at IS NOT NULL INTO v_ticks
    FROM analytics.scheduler_state;
    BEGIN
        v_home := coalesce(current_setting('cron.database_name', true), current_database());
    EXCEPTION WHEN insufficient_privilege THEN
        v_home := NULL;
    END;
    IF coalesce(v_home, current_database()) = current_database()
        AND EXISTS (SELECT FROM pg_extension WHERE pg_extension.extname = 'pg_cron') THEN
        IF NOT v_is_superuser AND to_regrole(quote_ident(v_role)) IS NOT NULL THEN
            PERFORM set_config('role', v_role, true);
        END IF;
        IF v_is_down
            AND has_function_privilege('analytics.scheduler_down_reason()', 'EXECUTE') THEN
            v_reason := analytics.scheduler_down_reason();
        END IF;
        RETURN QUERY
            SELECT found.*
            FROM kpi_engine.cron_problems(current_database(), v_role, v_ticks) AS found;
        -- The jobs may look well, and yet no tick comes.
        RETURN QUERY
            SELECT
                'wrong',
                'no tick for 3 minutes: ' || v_reason,
                ARRAY[
                    'TABLE cron.job_run_details ORDER BY runid DESC LIMIT 10;  -- the last runs'
                ]
            WHERE
                v_reason IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM kpi_engine.cron_problems(current_database(), v_role, v_ticks) AS found
                    WHERE found.status <> 'ok'
                );
        PERFORM set_config('role', v_role_before, true);
        RETURN;
    END IF;
    SELECT array_agg(format(
        '%s;  -- in %s, as a superuser', jobs.elsewhere,
        coalesce('database ' || v_home, 'that database')
    ) ORDER BY jobs.job_name) INTO v_elsewhere
    FROM kpi_engine.cron_jobs(current_database()) AS jobs;
    RETURN QUERY
        SELECT CASE
            WHEN v_ticks THEN 'ok'
            WHEN v_home <> current_database() THEN 'unchecked'
            ELSE 'warning'
        END, CASE
            WHEN v_home <> current_database()
                THEN format(
                    '%s; pg_cron lives in database %s, which can''t be seen from this one',
                    CASE WHEN v_ticks THEN 'ticks come' ELSE 'nothing ticks' END, v_home
                )
            WHEN v_ticks THEN 'not in use; something else ticks'
            WHEN v_home IS NULL
                THEN format('no pg_cron in database %s, and nothing ticks', current_database())
            ELSE format('no pg_cron in database %s, and nothing else ticks', current_database())
        END, CASE
            WHEN v_ticks THEN ARRAY[]::text[]
            WHEN v_home <> current_database() THEN v_elsewhere
            -- Only a superuser sees whether pg_cron lives in another database. It may stay there.
            WHEN v_home IS NULL THEN
                ARRAY['SHOW cron.database_name;  -- as a superuser: where pg_cron lives, if anywhere']
                || v_elsewhere
                || ARRAY['-- $ make scheduler  # where there is no pg_cron, as a service']
            ELSE ARRAY[
                '-- $ make scheduler  # as a service: config/systemd/teloo-scheduler.service'
            ]
        END;
END;
$doctor_cron$;

COMMENT ON FUNCTION kpi_engine.doctor_cron() IS
'Makes the check of pg_cron for analytics.doctor(): status, message, fixes. The check:
pg_cron: its two jobs exist, are active, and succeed; or something else calls the tick
Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_cron() FROM public;
