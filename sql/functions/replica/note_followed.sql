-- Notes which operational tables subscriptions bring.
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
END;
$note_followed$;

COMMENT ON FUNCTION kpi_engine.note_followed() IS
'Brings kpi_engine.followed_tables up to date. Internal to the tick and the refresh.';

REVOKE ALL ON FUNCTION kpi_engine.note_followed() FROM public;
