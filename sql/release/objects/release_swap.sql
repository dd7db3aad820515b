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
    v_followers text[];
    v_is_done boolean := false;
    v_readers text;
    v_ends text;
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
                -- A prepared transaction has no process, but its own lock of its id.
                SELECT
                    string_agg(DISTINCT coalesce(
                        'process ' || held.pid, format('prepared transaction %L', prepared.gid)
                    ), ', '),
                    string_agg(DISTINCT format('ROLLBACK PREPARED %L; ', prepared.gid), '')
                        FILTER (WHERE prepared.gid IS NOT NULL)
                INTO v_readers, v_ends
                FROM pg_locks AS held
                INNER JOIN pg_database
                    ON
                        pg_database.oid = held.database
                        AND pg_database.datname = current_database()
                INNER JOIN pg_class ON pg_class.oid = held.relation
                INNER JOIN pg_temp.release_waiting ON release_waiting.name = pg_class.relname
                LEFT JOIN pg_locks AS its_id
                    ON
                        held.pid IS NULL AND its_id.pid IS NULL
                        AND its_id.locktype = 'transactionid'
                        AND its_id.virtualtransaction = held.virtualtransaction
                LEFT JOIN pg_prepared_xacts AS prepared
                    ON prepared.transaction = its_id.transactionid
                WHERE
                    release_waiting.is_staged
                    AND pg_class.relnamespace = to_regnamespace('analytics')
                    AND held.granted
                    AND held.pid IS DISTINCT FROM pg_backend_pid();
                RAISE EXCEPTION 'a KPI view is being read all the time%; nothing was changed',
                    coalesce(' by ' || v_readers, '')
                    USING ERRCODE = 'lock_not_available',
                          HINT = coalesce(v_ends, '')
                              || 'Try again when its long readers are done (see pg_stat_activity).';
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
        PERFORM kpi_engine.hand_over_rights(pg_class.oid, format('analytics.%I', v_name)::regclass)
        FROM pg_class
        WHERE
            pg_class.relnamespace = to_regnamespace('analytics_replaced')
            AND pg_class.relkind = 'm'
            AND pg_class.relname = v_name;
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
