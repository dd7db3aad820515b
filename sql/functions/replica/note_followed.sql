-- Notes which operational tables subscriptions bring, and how far each subscription is.
--
-- Invariant: it forgets nothing but the old name of a subscription. So a subscription that is
-- dropped is missed (kpi_engine.followed) until somebody says that it is meant.

CREATE OR REPLACE FUNCTION kpi_engine.note_followed()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_followed$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_subscription_rel) THEN
        RETURN;
    END IF;
    DELETE FROM kpi_engine.followed_tables AS known
    USING pg_subscription
    WHERE
        pg_subscription.oid = known.subscription_id
        AND pg_subscription.subname <> known.subscription;
    INSERT INTO kpi_engine.followed_tables AS known (
        subscription, table_name, subscription_id, source_schema
    )
    SELECT
        followed.subscription, followed.table_name, followed.subscription_id, followed.source_schema
    FROM kpi_engine.followed() AS followed
    WHERE NOT followed.is_lost
    ON CONFLICT (subscription, table_name) DO UPDATE SET subscription_id = excluded.subscription_id
    WHERE known.subscription_id <> excluded.subscription_id;
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
        subscription, subscription_id, as_of, apply_errors, worker_pid, first_word_at
    )
    SELECT
        followed.subscription, followed.subscription_id, worker.as_of,
        coalesce(stats.apply_error_count, 0), worker.worker_pid, worker.first_word_at
    FROM (
        SELECT DISTINCT tables.subscription, tables.subscription_id
        FROM kpi_engine.followed() AS tables
        WHERE NOT tables.is_lost
    ) AS followed
    LEFT JOIN pg_stat_subscription_stats AS stats ON stats.subid = followed.subscription_id
    CROSS JOIN LATERAL kpi_engine.worker_state(followed.subscription_id) AS worker
    ON CONFLICT (subscription) DO UPDATE SET
        subscription_id = excluded.subscription_id,
        worker_pid = excluded.worker_pid,
        first_word_at = excluded.first_word_at,
        as_of = coalesce(excluded.as_of, known.as_of),
        -- Somebody may have reset the counter.
        apply_errors = CASE
            WHEN excluded.as_of IS NULL THEN least(known.apply_errors, excluded.apply_errors)
            ELSE excluded.apply_errors
        END;
    DELETE FROM kpi_engine.subscription_marks AS known
    WHERE NOT EXISTS (
        SELECT FROM kpi_engine.followed_tables
        WHERE followed_tables.subscription = known.subscription
    );
END;
$note_followed$;

COMMENT ON FUNCTION kpi_engine.note_followed() IS
'Brings kpi_engine.followed_tables and kpi_engine.subscription_marks up to date. Internal '
'to the tick and the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.note_followed() FROM public;
