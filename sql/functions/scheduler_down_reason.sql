-- Why no tick comes, as far as this role can see.
--
-- Invariant: raises nothing, whatever pg_cron's tables are like and may be read by whom. To be
-- called only when no tick came: pg_cron's tables are read by dynamic statements.
-- SECURITY INVOKER: pg_cron shows each role its own jobs, and superusers all.

CREATE OR REPLACE FUNCTION analytics.scheduler_down_reason()
RETURNS text
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $scheduler_down_reason$
DECLARE
    v_commands constant text[] := ARRAY['CALL analytics.tick()', 'CALL analytics.work()'];
    v_home text;
    v_sees_all constant boolean := pg_has_role('pg_read_all_stats', 'USAGE') OR EXISTS (
        SELECT FROM pg_roles WHERE pg_roles.rolname = current_user AND pg_roles.rolsuper
    );
    v_is_filtered boolean;
    v_job record;
    v_tick record;
    v_run record;
    v_jobs integer := 0;
BEGIN
    BEGIN
        v_home := current_setting('cron.database_name', true);
    EXCEPTION WHEN insufficient_privilege THEN
        v_home := NULL;
    END;
    IF NOT EXISTS (SELECT FROM pg_extension WHERE pg_extension.extname = 'pg_cron') THEN
        IF v_home <> current_database() THEN
            RETURN format('pg_cron is in database %s: are its jobs for %s there and active, and '
                'do they succeed? make doctor says so', v_home, current_database());
        END IF;
        RETURN 'this database has no pg_cron, and nothing else ticks: start scripts/scheduler.py '
            '(docs/scheduling.md); where pg_cron is in another database, look there';
    END IF;
    IF v_home <> current_database() THEN
        RETURN format('pg_cron is here, but the server runs the jobs of database %s '
            '(cron.database_name)', v_home);
    END IF;
    IF v_sees_all AND NOT EXISTS (
        SELECT FROM pg_stat_activity WHERE pg_stat_activity.backend_type LIKE 'pg_cron%'
    ) THEN
        RETURN 'pg_cron''s launcher is gone: restart the server; its log has the reason';
    END IF;
    BEGIN
        v_is_filtered := row_security_active('cron.job');
        FOR v_job IN EXECUTE
            'SELECT command, jobid, active, username::text AS username, schedule, '
            'nodeport = current_setting(''port'')::integer AS is_here FROM cron.job '
            'WHERE database = current_database() AND command = ANY ($1) ORDER BY active DESC, jobid'
        USING v_commands
        LOOP
            v_jobs := v_jobs + 1;
            IF v_tick IS NULL AND v_job.command = v_commands[1] THEN
                v_tick := v_job;
            END IF;
        END LOOP;
        IF v_tick IS NULL THEN
            RETURN CASE
                WHEN v_is_filtered AND v_jobs = 0 THEN
                    format('role %s sees no job of pg_cron; whether there are others, and are '
                        'active, a superuser sees: make doctor', current_user)
                ELSE 'the job of pg_cron that ticks is missing: make migrate'
            END;
        END IF;
        IF NOT v_tick.active THEN
            RETURN format('job %s of pg_cron is not active: SELECT cron.alter_job(%s, '
                'active := true);', v_tick.jobid, v_tick.jobid);
        END IF;
        IF NOT v_tick.is_here THEN
            RETURN format('job %s of pg_cron calls another server: make migrate', v_tick.jobid);
        END IF;
        IF NOT EXISTS (
            SELECT FROM pg_roles WHERE pg_roles.rolname = v_tick.username AND pg_roles.rolcanlogin
        ) THEN
            RETURN format('role %I of job %s of pg_cron is gone or may not log in: make doctor',
                v_tick.username, v_tick.jobid);
        END IF;
        EXECUTE
            'SELECT status, return_message FROM cron.job_run_details '
            'WHERE jobid = $1 AND status IN (''succeeded'', ''failed'') '
            'ORDER BY runid DESC LIMIT 1'
        INTO v_run
        USING v_tick.jobid;
        IF v_run.status = 'failed' THEN
            RETURN format('the last run of job %s of pg_cron failed: %s', v_tick.jobid,
                left(regexp_replace(
                    split_part(ltrim(v_run.return_message, E'\n\r '), E'\n', 1),
                    '[^[:space:]"''<>@]+@[^[:space:]"''<>@]+', '…', 'g'
                ), 200));
        END IF;
        IF v_tick.schedule <> '* * * * *' THEN
            RETURN format('job %s of pg_cron runs at %s instead of every minute: make doctor',
                v_tick.jobid, v_tick.schedule);
        END IF;
        RETURN format('job %s of pg_cron is active, and its last run %s: is there a process '
            '"pg_cron launcher"? The server''s log says more', v_tick.jobid,
            coalesce(v_run.status, 'is not in cron.job_run_details'));
    EXCEPTION WHEN OTHERS THEN
        RETURN format('role %s may not look into pg_cron (%s); make doctor as a superuser says '
            'more', current_user, SQLSTATE);
    END;
END;
$scheduler_down_reason$;

COMMENT ON FUNCTION analytics.scheduler_down_reason() IS
'Why no tick comes, as far as the current role can see: no pg_cron, its jobs missing or inactive, '
'its launcher gone, the last run failed. To be asked only when analytics.scheduler_is_running() is '
'false.';

REVOKE ALL ON FUNCTION analytics.scheduler_down_reason() FROM public;
GRANT EXECUTE ON FUNCTION analytics.scheduler_down_reason() TO analytics_scheduler;
