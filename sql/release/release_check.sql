-- Refuses a server, a schema or an older object that does not fit.

CREATE FUNCTION pg_temp.release_check()
RETURNS void
LANGUAGE plpgsql
AS $release_check$
DECLARE
    v_problem record;
    v_names text;
    v_moves text;
BEGIN
    FOR v_problem IN SELECT problems.* FROM kpi_engine.server_problems() AS problems LOOP
        IF v_problem.is_fatal THEN
            RAISE EXCEPTION '%', v_problem.message
                USING ERRCODE = 'feature_not_supported', HINT = coalesce(v_problem.hint, '');
        END IF;
        RAISE WARNING '%', v_problem.message;
    END LOOP;
    FOR v_problem IN SELECT renamed.* FROM kpi_engine.renamed_owner() AS renamed LOOP
        RAISE EXCEPTION 'role analytics_owner was renamed to %; nothing was changed',
            v_problem.role_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('Give it its name back: %s;', v_problem.statement);
    END LOOP;
    FOR v_problem IN
        SELECT pg_get_userbyid(pg_namespace.nspowner) AS owner
        FROM pg_class
        INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        WHERE
            pg_namespace.nspname = 'kpi_engine'
            AND pg_class.relname = 'migration_ledger'
            AND pg_get_userbyid(pg_namespace.nspowner) <> 'analytics_owner'
    LOOP
        RAISE EXCEPTION 'teloo-analytics was restored without its owners (pg_restore --no-owner): its objects belong to %; nothing was changed',
            v_problem.owner
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Restore it with its owners. Or give them back, in psql, as a superuser, '
                      'or as their owner if it may act as analytics_owner: '
                      'SELECT statement FROM analytics.doctor(''installation'') '
                      'WHERE check_name = ''owners'' \gexec';
    END LOOP;
    FOR v_problem IN
        SELECT pg_namespace.nspname, pg_get_userbyid(pg_namespace.nspowner) AS owner
        FROM pg_namespace
        INNER JOIN kpi_engine.package_schemas() AS schema
            ON schema.schema_name = pg_namespace.nspname
        WHERE pg_get_userbyid(pg_namespace.nspowner) <> 'analytics_owner'
    LOOP
        RAISE EXCEPTION 'there is a schema % that does not belong to this package (owner %)',
            v_problem.nspname, v_problem.owner
            USING ERRCODE = 'duplicate_schema',
                  HINT = format('Move it out of the way: ALTER SCHEMA %1$I RENAME TO %1$s_previous;',
                      v_problem.nspname);
    END LOOP;
    SELECT
        string_agg(shadowing.object_name, ', '),
        string_agg(shadowing.statement || ';', E'\n')
    INTO v_names, v_moves
    FROM (
        SELECT
            release_run.search_path AS p_path,
            ARRAY(
                SELECT release_files.name FROM pg_temp.release_files
                WHERE release_files.kind = 'materialized view'
            ) AS p_views
        FROM pg_temp.release_run
    ) AS asked
    CROSS JOIN LATERAL kpi_engine.shadowing_objects(p_path, p_views)
        AS shadowing (object_name, statement);
    IF v_names IS NOT NULL THEN
        RAISE EXCEPTION
            'older objects would win over ours on the search_path; nothing was changed: %', v_names
            USING ERRCODE = 'duplicate_object',
                  DETAIL = v_moves,
                  HINT = 'Run CREATE SCHEMA IF NOT EXISTS analytics_previous; and these statements.';
    END IF;
END;
$release_check$;
