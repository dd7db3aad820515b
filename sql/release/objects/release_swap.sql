-- Puts the materialized views that were built aside in their places, all at once.
--
-- Invariant: it waits for long readers in turns of 50 ms for a minute, and holds no lock of a view
-- in between.

CREATE FUNCTION pg_temp.release_swap()
RETURNS void
LANGUAGE plpgsql
AS $release_swap$
DECLARE
    v_deadline constant timestamptz := clock_timestamp() + interval '1 minute';
    v_name text;
    v_grant record;
    v_followers text[];
    v_is_done boolean := false;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_temp.release_waiting WHERE release_waiting.is_staged) THEN
        RETURN;
    END IF;
    LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '50ms', true);
            FOREACH v_name IN ARRAY ARRAY(
                SELECT release_waiting.name FROM pg_temp.release_waiting
                WHERE
                    release_waiting.is_staged
                    AND pg_temp.release_relation_kind(release_waiting.name) IS NOT NULL
                ORDER BY release_waiting.place
            )
            LOOP
                PERFORM pg_temp.release_set_aside(
                    pg_temp.release_relation_kind(v_name), pg_temp.release_quoted(v_name), v_name
                );
            END LOOP;
            v_is_done := true;
        EXCEPTION WHEN lock_not_available THEN
            IF clock_timestamp() > v_deadline THEN
                RAISE EXCEPTION 'a KPI view is being read all the time; nothing was changed'
                    USING ERRCODE = 'lock_not_available',
                          HINT = 'Try again when its long readers are done (see pg_stat_activity).';
            END IF;
        END;
        PERFORM set_config('lock_timeout', '0', true);
        EXIT WHEN v_is_done;
        PERFORM pg_sleep(0.2);
    END LOOP;
    FOREACH v_name IN ARRAY ARRAY(
        SELECT release_waiting.name FROM pg_temp.release_waiting
        WHERE release_waiting.is_staged
        ORDER BY release_waiting.place
    )
    LOOP
        EXECUTE format('ALTER MATERIALIZED VIEW analytics_staging.%I SET SCHEMA analytics', v_name);
        -- The grants that others had on the old one.
        FOR v_grant IN
            SELECT
                pg_get_userbyid(given.grantee) AS role_name,
                given.privilege_type,
                given.is_grantable
            FROM pg_class
            CROSS JOIN LATERAL aclexplode(pg_class.relacl) AS given
            WHERE
                pg_class.relnamespace = to_regnamespace('analytics_replaced')
                AND pg_class.relkind = 'm'
                AND pg_class.relname = v_name
                AND given.grantee <> 0
                AND pg_get_userbyid(given.grantee) NOT IN (
                    SELECT roles.role_name FROM kpi_engine.package_roles() AS roles
                )
        LOOP
            EXECUTE format(
                'GRANT %s ON analytics.%I TO %I%s', v_grant.privilege_type, v_name,
                v_grant.role_name,
                CASE WHEN v_grant.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
            );
        END LOOP;
        FOR v_grant IN
            SELECT index_class.relname
            FROM pg_index
            INNER JOIN pg_class AS index_class ON index_class.oid = pg_index.indexrelid
            INNER JOIN pg_class AS view_class ON view_class.oid = pg_index.indrelid
            INNER JOIN pg_temp.release_files ON release_files.name = v_name
            WHERE
                view_class.relnamespace = to_regnamespace('analytics_replaced')
                AND view_class.relname = v_name
                AND index_class.relname <> ALL (release_files.index_names)
        LOOP
            RAISE WARNING '% was rebuilt without index %, which is not in its file',
                v_name, v_grant.relname;
        END LOOP;
    END LOOP;
    DROP SCHEMA analytics_staging;
    v_followers := ARRAY(
        SELECT release_waiting.name FROM pg_temp.release_waiting
        WHERE NOT release_waiting.is_staged
        ORDER BY release_waiting.place
    );
    DELETE FROM pg_temp.release_waiting;
    FOREACH v_name IN ARRAY v_followers LOOP
        PERFORM pg_temp.release_apply(v_name);
    END LOOP;
    PERFORM kpi_engine.note_new_views();
END;
$release_swap$;
