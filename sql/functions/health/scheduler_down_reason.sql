-- Why no tick comes, as far as this role can see.
--
-- Invariant: it raises nothing, in any state of pg_cron's tables and rights. Call it only if no
-- tick came, because it reads pg_cron's tables by dynamic statements.
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
    -- Not a constant, which a checker would look up in a database without pg_cron.
    v_schema text := 'cron';
    v_home text;
    v_sees_all constant boolean := pg_has_role('pg_read_all_stats', 'USAGE') OR EXISTS (
        SELECT FROM pg_roles WHERE pg_roles.rolname = current_user AND pg_roles.rolsuper
    );
    v_is_filtered boolean;
    v_jobs bigint;
    v_job_id bigint;
    v_is_active boolean;
    v_role text;
    v_schedule text;
    v_is_here boolean;
    v_status text;
    v_message text;
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
        EXECUTE format(
            'SELECT count(*) OVER (), jobid, active, username::text, schedule, '
            'nodeport = current_setting(''port'')::integer FROM %I.job '
            'WHERE database = current_database() AND command = ANY ($1) '
            'ORDER BY command = $1[1] DESC, active DESC, jobid LIMIT 1', v_schema
        )
        INTO v_jobs, v_job_id, v_is_active, v_role, v_schedule, v_is_here
        USING v_commands;
        EXECUTE format('SELECT command FROM %I.job WHERE jobid = $1', v_schema)
        INTO v_message
        USING v_job_id;
        IF v_message IS DISTINCT FROM v_commands[1] THEN
            RETURN CASE
                WHEN v_is_filtered AND v_jobs IS NULL THEN
                    format('role %s sees no job of pg_cron; whether there are others, and are '
                        'active, a superuser sees: make doctor', current_user)
                ELSE 'the job of pg_cron that ticks is missing: make migrate'
            END;
        END IF;
        IF NOT v_is_active THEN
            RETURN format('job %s of pg_cron is not active: SELECT cron.alter_job(%s, '
                'active := true);', v_job_id, v_job_id);
        END IF;
        IF NOT v_is_here THEN
            RETURN format('job %s of pg_cron calls another server: make migrate', v_job_id);
        END IF;
        IF NOT EXISTS (
            SELECT FROM pg_roles WHERE pg_roles.rolname = v_role AND pg_roles.rolcanlogin
        ) THEN
            RETURN format('role %I of job %s of pg_cron is gone or may not log in: make doctor',
                v_role, v_job_id);
        END IF;
        EXECUTE format(
            'SELECT status, return_message FROM %I.job_run_details '
            'WHERE jobid = $1 AND status IN (''succeeded'', ''failed'') '
            'ORDER BY runid DESC LIMIT 1', v_schema
        )
        INTO v_status, v_message
        USING v_job_id;
        IF v_status = 'failed' THEN
            RETURN format('the last run of job %s of pg_cron failed: %s', v_job_id,
                left(regexp_replace(
                    split_part(ltrim(v_message, E'\n\r '), E'\n', 1),
                    '[^[:space:]"''<>@]+@[^[:space:]"''<>@]+', '…', 'g'
                ), 200));
        END IF;
        IF v_schedule <> '* * * * *' THEN
            RETURN format('job %s of pg_cron runs at %s instead of every minute: make doctor',
                v_job_id, v_schedule);
        END IF;
        RETURN format('job %s of pg_cron is active, and its last run %s: is there a process '
            '"pg_cron launcher"? The server''s log says more', v_job_id,
            coalesce(v_status, 'is not in cron.job_run_details'));
    EXCEPTION WHEN OTHERS THEN
        RETURN format('role %s may not look into pg_cron (%s); make doctor as a superuser says '
            'more', current_user, SQLSTATE);
    END;
END;
$scheduler_down_reason$;

COMMENT ON FUNCTION analytics.scheduler_down_reason() IS
'Why no tick comes, as far as the current role can see: no pg_cron, its jobs missing or inactive, '
'its launcher gone, the last run failed. Ask it only if no tick comes '
'(kpi_engine.scheduler_is_running()).';

REVOKE ALL ON FUNCTION analytics.scheduler_down_reason() FROM public;
GRANT EXECUTE ON FUNCTION analytics.scheduler_down_reason() TO analytics_scheduler;
