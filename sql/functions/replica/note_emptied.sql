-- Notes that a table was emptied, for each subscription that copied it and whose worker is not the
-- one that empties: it does not copy the table again.
--
-- Invariant: it never fails the writer. kpi_engine.note_truncate() does the same by its own
-- statement: any change of a function that notes makes each installation compute everything again.

CREATE OR REPLACE FUNCTION kpi_engine.note_emptied(p_relation oid)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_emptied$
BEGIN
    INSERT INTO kpi_engine.incomplete_tables (subscription_id, relation, copied_lsn, reason)
    SELECT
        pg_subscription_rel.srsubid, pg_subscription_rel.srrelid, pg_subscription_rel.srsublsn,
        'emptied'
    FROM pg_subscription_rel
    WHERE
        pg_subscription_rel.srsubstate IN ('s', 'r')
        AND (
            pg_subscription_rel.srrelid = p_relation
            OR pg_subscription_rel.srrelid IN (
                SELECT parent.relid FROM pg_partition_ancestors(p_relation) AS parent (relid)
            )
        )
        AND NOT EXISTS (
            SELECT FROM pg_stat_get_subscription(pg_subscription_rel.srsubid) AS worker
            WHERE worker.pid = pg_backend_pid()
        );
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'teloo-analytics: that % was emptied could not be noted: % (SQLSTATE %)',
        p_relation::regclass, SQLERRM, SQLSTATE
        USING HINT = 'A subscription that brings it does not copy it again.';
END;
$note_emptied$;

COMMENT ON FUNCTION kpi_engine.note_emptied(oid) IS
'Notes a TRUNCATE of a table that subscriptions copied (kpi_engine.incomplete_tables). Internal to '
'kpi_engine.note_outside_change().';

REVOKE ALL ON FUNCTION kpi_engine.note_emptied(oid) FROM public;
