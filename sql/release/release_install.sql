-- Does what make migrate does in its transaction, in the same order.

CREATE FUNCTION pg_temp.release_install()
RETURNS void
LANGUAGE plpgsql
AS $release_install$
DECLARE
    v_run record;
    v_obstacle record;
    v_change text;
    v_changes integer;
BEGIN
    SELECT * INTO STRICT v_run FROM pg_temp.release_run;
    PERFORM pg_temp.release_check();
    PERFORM pg_temp.release_lock('teloo-analytics migrate');
    PERFORM pg_temp.release_meet('roles', false);
    PERFORM pg_temp.release_meet('cancel', true);
    PERFORM pg_temp.release_meet('limits', true);
    PERFORM pg_temp.release_meet('usage', true);
    PERFORM pg_temp.release_meet('log', true);
    PERFORM pg_temp.release_meet('schemas', false);

    PERFORM set_config('role', 'analytics_owner', true);
    PERFORM pg_temp.release_meet('usage of schemas', false);
    PERFORM pg_temp.release_read_ledger();
    IF pg_temp.release_changes_relations() THEN
        -- Before it locks one: a refresh writes to all of them, and people read them.
        PERFORM pg_temp.release_hold_refreshes();
    END IF;
    PERFORM pg_temp.release_refuse_publications();
    PERFORM pg_temp.release_migrate();
    PERFORM pg_temp.release_apply_all(false, ARRAY['function', 'view', 'materialized view']);
    PERFORM pg_temp.release_bind();
    PERFORM pg_temp.release_apply_all(true, ARRAY['function', 'view', 'materialized view']);
    PERFORM pg_temp.release_settle();
    PERFORM set_config('role', v_run.migrator, true);
    PERFORM pg_temp.release_search_path();
    PERFORM pg_temp.release_schedule();
    PERFORM set_config('role', 'analytics_owner', true);
    PERFORM pg_temp.release_finish_views();
    PERFORM pg_temp.release_drop_removed();
    FOR v_obstacle IN
        SELECT obstacles.role_name, obstacles.statements
        FROM kpi_engine.dump_obstacles() AS obstacles (role_name, statements)
    LOOP
        RAISE WARNING 'pg_dump of this database fails as role %, which may not read our schemas',
            v_obstacle.role_name
            USING HINT = 'Run ' || array_to_string(v_obstacle.statements, '; ') || ';';
    END LOOP;
    PERFORM set_config('role', v_run.migrator, true);

    SELECT count(*) INTO v_changes FROM pg_temp.release_changes;
    IF v_changes = 0 THEN
        RAISE NOTICE 'teloo-analytics %: up to date, nothing was changed', v_run.version;
        RETURN;
    END IF;
    IF v_changes <= 100 THEN
        FOR v_change IN
            SELECT release_changes.change FROM pg_temp.release_changes
            ORDER BY release_changes.place
        LOOP
            RAISE NOTICE 'teloo-analytics: %', v_change;
        END LOOP;
    END IF;
    -- A PostgREST that runs reads the functions again when this commits.
    NOTIFY pgrst, 'reload schema';
    RAISE NOTICE 'teloo-analytics %: % change(s). Now, as the owner of the operational tables, in a new session: CALL analytics.apply_change_capture(); then SELECT * FROM refresh_all_mv();',
        v_run.version, v_changes;
END;
$release_install$;
