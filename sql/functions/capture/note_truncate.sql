-- Trigger function of change capture: notes that a whole table was emptied.
--
-- Invariant: never fails the writer, as kpi_engine.note_changed_id(). A table that a subscription
-- copied is not copied again. So it is noted for each one whose worker is not the one that empties.
-- SECURITY DEFINER: writers have no right on schema kpi_engine.

CREATE OR REPLACE FUNCTION kpi_engine.note_truncate()
RETURNS trigger
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $note_truncate$
DECLARE
    v_message text;
    v_sqlstate text;
BEGIN
    BEGIN
        INSERT INTO kpi_engine.incomplete_tables (subscription_id, relation, copied_lsn, reason)
        SELECT
            pg_subscription_rel.srsubid, pg_subscription_rel.srrelid, pg_subscription_rel.srsublsn,
            'emptied'
        FROM pg_subscription_rel
        WHERE
            pg_subscription_rel.srsubstate IN ('s', 'r')
            AND (
                pg_subscription_rel.srrelid = tg_relid
                OR pg_subscription_rel.srrelid IN (
                    SELECT parent.relid FROM pg_partition_ancestors(tg_relid) AS parent (relid)
                )
            )
            AND NOT EXISTS (
                SELECT FROM pg_stat_get_subscription(pg_subscription_rel.srsubid) AS worker
                WHERE worker.pid = pg_backend_pid()
            );
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'teloo-analytics: that % was emptied could not be noted: % (SQLSTATE %)',
            tg_relid::regclass, SQLERRM, SQLSTATE
            USING HINT = 'A subscription that brings it does not copy it again.';
    END;
    BEGIN
        INSERT INTO kpi_engine.change_log (entity)
        SELECT 'everything' FROM kpi_engine.sound_change_log();
        IF FOUND THEN
            RETURN NULL;
        END IF;
        v_message := 'kpi_engine.change_log was altered';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
    END;
    BEGIN
        PERFORM kpi_engine.note_lost_change(tg_relid, v_message, v_sqlstate);
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'teloo-analytics: a change of % could not be noted: % (SQLSTATE %)',
            tg_relid::regclass, SQLERRM, SQLSTATE
            USING HINT = 'The write is not affected. analytics.capture_gap() says what is wrong.';
    END;
    RETURN NULL;
END;
$note_truncate$;

COMMENT ON FUNCTION kpi_engine.note_truncate() IS
'TRUNCATE trigger of change capture on operational tables: the next refresh computes '
'everything again.';

REVOKE ALL ON FUNCTION kpi_engine.note_truncate() FROM public;
