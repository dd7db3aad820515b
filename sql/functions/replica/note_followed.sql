-- Notes which tables of the figures subscriptions bring, operational ones and those of other
-- services, and how far each subscription is.
--
-- Invariant: it forgets nothing but the old name of a subscription. So a subscription that is
-- dropped is missed (kpi_engine.followed) until somebody says that it is meant. A table that came
-- back without a copy keeps what was known of it before.

CREATE OR REPLACE FUNCTION kpi_engine.note_followed()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_followed$
DECLARE
    v_timeline text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_subscription_rel) THEN
        RETURN;
    END IF;
    v_timeline := kpi_engine.timeline();
    UPDATE kpi_engine.followed_tables AS known SET subscription = pg_subscription.subname
    FROM pg_subscription
    WHERE
        pg_subscription.oid = known.subscription_id
        AND pg_subscription.subname <> known.subscription
        AND NOT EXISTS (
            SELECT FROM kpi_engine.followed_tables AS other
            WHERE
                other.subscription = pg_subscription.subname
                AND other.table_name = known.table_name
        );
    DELETE FROM kpi_engine.followed_tables AS known
    USING pg_subscription
    WHERE
        pg_subscription.oid = known.subscription_id
        AND pg_subscription.subname <> known.subscription;
    -- Nothing brings them up to date any more, and what they say of the worker is not so.
    WITH followed AS MATERIALIZED (
        SELECT * FROM kpi_engine.followed()
    ),

    ended AS (
        DELETE FROM kpi_engine.subscription_marks AS known
        WHERE NOT EXISTS (
            SELECT FROM followed
            WHERE
                followed.outside_of IS NULL
                AND (
                    followed.subscription = known.subscription
                    OR followed.subscription_id = known.subscription_id
                )
        )
    )

    DELETE FROM kpi_engine.feeding_marks AS known
    WHERE NOT EXISTS (
        SELECT FROM followed
        WHERE
            followed.outside_of IS NOT NULL
            AND followed.subscription_id = known.subscription_id
    );
    DELETE FROM kpi_engine.incomplete_tables AS incomplete
    WHERE NOT EXISTS (
        SELECT FROM pg_subscription_rel
        WHERE
            pg_subscription_rel.srsubid = incomplete.subscription_id
            AND pg_subscription_rel.srrelid = incomplete.relation
            AND pg_subscription_rel.srsublsn IS NOT DISTINCT FROM incomplete.copied_lsn
    );
    -- The worker sets subskiplsn back to 0/0 when it has skipped the transaction. From PostgreSQL 18
    -- on, it counts updates of rows that are not here. A server that was promoted or recovered may
    -- lack what its publisher had sent before: to the former server, or to this one in a time that
    -- it went back from. The publisher goes on after what was confirmed to it then.
    INSERT INTO kpi_engine.incomplete_tables (subscription_id, relation, copied_lsn, reason)
    SELECT
        pg_subscription_rel.srsubid, pg_subscription_rel.srrelid, pg_subscription_rel.srsublsn,
        found.reason
    FROM (
        SELECT pg_subscription.oid, 'skipped'
        FROM pg_subscription
        WHERE pg_subscription.subskiplsn <> '0/0'
        UNION
        SELECT known.subscription_id, changed.reason
        FROM (
            SELECT marks.subscription_id, marks.updates_missed, marks.timeline
            FROM kpi_engine.subscription_marks AS marks
            UNION ALL
            SELECT marks.subscription_id, marks.updates_missed, marks.timeline
            FROM kpi_engine.feeding_marks AS marks
        ) AS known
        LEFT JOIN pg_stat_subscription_stats AS stats ON stats.subid = known.subscription_id
        CROSS JOIN LATERAL (
            SELECT 'missed'
            WHERE (to_jsonb(stats) ->> 'confl_update_missing')::bigint > known.updates_missed
            UNION ALL
            SELECT 'promoted'
            WHERE
                known.timeline <> v_timeline
                AND split_part(known.timeline, '/', 1) = split_part(v_timeline, '/', 1)
        ) AS changed (reason)
    ) AS found (subscription_id, reason)
    INNER JOIN pg_subscription_rel ON pg_subscription_rel.srsubid = found.subscription_id
    WHERE NOT EXISTS (
        SELECT FROM kpi_engine.incomplete_tables AS incomplete
        WHERE
            incomplete.subscription_id = pg_subscription_rel.srsubid
            AND incomplete.relation = pg_subscription_rel.srrelid
            AND incomplete.reason = found.reason
    );
    WITH followed AS MATERIALIZED (
        SELECT * FROM kpi_engine.followed()
    ),

    -- It is copied whole when it comes back, or it is missed.
    gone AS (
        UPDATE kpi_engine.followed_tables AS known SET copied_lsn = '0/0'
        FROM followed
        WHERE
            followed.lacks = 'gone'
            AND known.copied_lsn IS NULL
            AND known.subscription = followed.subscription
            AND known.table_name = followed.table_name
    ),

    here AS (
        DELETE FROM kpi_engine.written_here
        USING followed
        WHERE followed.table_name = written_here.table_name AND followed.state IS NOT NULL
    ),

    absent AS (
        INSERT INTO kpi_engine.absent_tables (source_schema, table_name)
        SELECT followed.source_schema, followed.table_name
        FROM followed
        WHERE followed.lacks = 'absent'
        ON CONFLICT DO NOTHING
    ),

    copied AS (
        DELETE FROM kpi_engine.absent_tables AS absent
        USING followed
        WHERE
            (followed.source_schema, followed.table_name) = (absent.source_schema, absent.table_name)
            AND followed.copied_lsn IS NOT NULL
            AND followed.state IS NOT NULL
    )

    INSERT INTO kpi_engine.followed_tables AS known (
        subscription, table_name, subscription_id, source_schema, copied_lsn
    )
    SELECT
        followed.subscription, followed.table_name, followed.subscription_id,
        followed.source_schema, followed.copied_lsn
    FROM followed
    WHERE followed.state IS NOT NULL AND followed.lacks IS DISTINCT FROM 'uncopied'
    ON CONFLICT (subscription, table_name) DO UPDATE SET
        subscription_id = excluded.subscription_id,
        copied_lsn = coalesce(excluded.copied_lsn, known.copied_lsn)
    WHERE
        (known.subscription_id, known.copied_lsn) IS DISTINCT FROM
        (excluded.subscription_id, coalesce(excluded.copied_lsn, known.copied_lsn));
    UPDATE kpi_engine.subscription_marks AS known SET subscription = pg_subscription.subname
    FROM pg_subscription
    WHERE
        pg_subscription.oid = known.subscription_id
        AND pg_subscription.subname <> known.subscription
        AND NOT EXISTS (
            SELECT FROM kpi_engine.subscription_marks AS other
            WHERE other.subscription = pg_subscription.subname
        );
    INSERT INTO kpi_engine.subscription_marks AS known (
        subscription, subscription_id, as_of, apply_errors, worker_pid, first_word_at,
        updates_missed, timeline
    )
    SELECT
        followed.subscription, followed.subscription_id, worker.as_of,
        coalesce(stats.apply_error_count, 0), worker.worker_pid, worker.first_word_at,
        (to_jsonb(stats) ->> 'confl_update_missing')::bigint, v_timeline
    FROM (
        SELECT DISTINCT tables.subscription, tables.subscription_id
        FROM kpi_engine.followed() AS tables
        WHERE tables.state IS NOT NULL AND tables.outside_of IS NULL
    ) AS followed
    LEFT JOIN pg_stat_subscription_stats AS stats ON stats.subid = followed.subscription_id
    CROSS JOIN LATERAL kpi_engine.worker_state(followed.subscription_id) AS worker
    ON CONFLICT (subscription) DO UPDATE SET
        subscription_id = excluded.subscription_id,
        worker_pid = excluded.worker_pid,
        first_word_at = excluded.first_word_at,
        as_of = coalesce(excluded.as_of, known.as_of),
        updates_missed = excluded.updates_missed,
        timeline = excluded.timeline,
        -- Somebody may have reset the counter.
        apply_errors = CASE
            WHEN excluded.as_of IS NULL THEN least(known.apply_errors, excluded.apply_errors)
            ELSE excluded.apply_errors
        END;
    IF EXISTS (SELECT FROM kpi_engine.outside_sources) THEN
        INSERT INTO kpi_engine.feeding_marks AS known (
            subscription_id, as_of, worker_pid, first_word_at, updates_missed, timeline
        )
        SELECT
            feeding.subscription_id, worker.as_of, worker.worker_pid, worker.first_word_at,
            (to_jsonb(stats) ->> 'confl_update_missing')::bigint, v_timeline
        FROM (
            SELECT DISTINCT tables.subscription_id
            FROM kpi_engine.followed() AS tables
            WHERE tables.state IS NOT NULL AND tables.outside_of IS NOT NULL
        ) AS feeding
        LEFT JOIN pg_stat_subscription_stats AS stats ON stats.subid = feeding.subscription_id
        CROSS JOIN LATERAL kpi_engine.worker_state(feeding.subscription_id) AS worker
        ON CONFLICT (subscription_id) DO UPDATE SET
            worker_pid = excluded.worker_pid,
            first_word_at = excluded.first_word_at,
            updates_missed = excluded.updates_missed,
            timeline = excluded.timeline,
            as_of = coalesce(excluded.as_of, known.as_of);
    END IF;
END;
$note_followed$;

COMMENT ON FUNCTION kpi_engine.note_followed() IS
'Brings kpi_engine.followed_tables, kpi_engine.incomplete_tables and kpi_engine.subscription_marks '
'up to date. Internal to the tick and the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.note_followed() FROM public;
