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
    v_cure text;
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
                SELECT found.readers, found.cure INTO v_readers, v_cure
                FROM kpi_engine.view_readers(ARRAY(
                    SELECT release_waiting.name FROM pg_temp.release_waiting
                    WHERE release_waiting.is_staged
                )) AS found;
                RAISE EXCEPTION 'a KPI view is being read all the time%; nothing was changed',
                    coalesce(v_readers, '')
                    USING ERRCODE = 'lock_not_available',
                          HINT = coalesce(v_cure, '')
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
