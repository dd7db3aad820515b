-- Schedules tick and work by pg_cron, where this database has it and the roles may use it.

CREATE FUNCTION pg_temp.release_schedule()
RETURNS void
LANGUAGE plpgsql
AS $release_schedule$
DECLARE
    v_migrator constant text := (SELECT release_run.migrator FROM pg_temp.release_run);
    v_right constant text := CASE
        WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER'
    END;
    v_is_scheduled boolean;
    v_job record;
BEGIN
    PERFORM set_config('role', 'analytics_owner', true);
    SELECT installation.cron_role IS NOT NULL INTO v_is_scheduled FROM kpi_engine.installation;
    PERFORM set_config('role', v_migrator, true);
    IF v_is_scheduled THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_extension WHERE pg_extension.extname = 'pg_cron') THEN
        RAISE NOTICE 'teloo-analytics: no schedule: this database has no extension pg_cron (docs/installing.md, The schedule)';
        RETURN;
    END IF;
    BEGIN
        IF NOT has_schema_privilege('analytics_scheduler', 'cron', 'USAGE') THEN
            GRANT USAGE ON SCHEMA cron TO analytics_scheduler;
        END IF;
        IF NOT pg_has_role(v_migrator, 'analytics_scheduler', v_right) THEN
            EXECUTE format('GRANT analytics_scheduler TO %I', v_migrator);
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;
    END;
    IF NOT has_schema_privilege('analytics_scheduler', 'cron', 'USAGE')
        OR NOT pg_has_role(v_migrator, 'analytics_scheduler', v_right)
        OR NOT (
            SELECT pg_roles.rolcanlogin FROM pg_roles WHERE pg_roles.rolname = 'analytics_scheduler'
        )
    THEN
        RAISE WARNING 'teloo-analytics: no schedule: the roles lack rights for pg_cron'
            USING HINT = format(
                'Have a superuser run: GRANT USAGE ON SCHEMA cron TO analytics_scheduler; '
                'GRANT analytics_scheduler TO %I; ALTER ROLE analytics_scheduler LOGIN; '
                'then run this file again.', v_migrator
            );
        RETURN;
    END IF;
    PERFORM set_config('role', 'analytics_scheduler', true);
    FOR v_job IN
        SELECT jobs.job_name, jobs.schedule, jobs.command
        FROM kpi_engine.cron_jobs(current_database()) AS jobs
    LOOP
        PERFORM cron.schedule(v_job.job_name, v_job.schedule, v_job.command);
        INSERT INTO pg_temp.release_changes (change) VALUES ('scheduled ' || v_job.job_name);
    END LOOP;
    PERFORM set_config('role', 'analytics_owner', true);
    UPDATE kpi_engine.installation SET cron_role = 'analytics_scheduler';
    PERFORM set_config('role', v_migrator, true);
END;
$release_schedule$;
