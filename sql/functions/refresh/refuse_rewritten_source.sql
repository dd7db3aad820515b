-- Refuses figures of a snapshot that does not show the source tables as they are.
--
-- Invariant: called in the snapshot of the figures, after they were read. A table that was
-- rewritten since (ALTER TABLE, TRUNCATE) is empty for an older snapshot, and a detached partition
-- is not read. What was read stays locked, so nothing of this comes later. The catalog as this
-- snapshot shows it is compared with the functions pg_…, which show it as it is now.

CREATE OR REPLACE FUNCTION kpi_engine.refuse_rewritten_source()
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $refuse_rewritten_source$
DECLARE
    v_tables text;
BEGIN
    SELECT string_agg(pg_class.oid::regclass::text, ', ' ORDER BY pg_class.oid) INTO v_tables
    FROM (
        SELECT captured_tables.relation FROM kpi_engine.captured_tables()
        UNION
        SELECT outside_sources.source_relation FROM kpi_engine.outside_sources
    ) AS listed
    INNER JOIN pg_class ON pg_class.oid = listed.relation
    WHERE
        nullif(pg_class.relfilenode, 0) IS DISTINCT FROM pg_relation_filenode(pg_class.oid)
        OR pg_class.relispartition AND pg_partition_root(pg_class.oid) IS NULL;
    IF v_tables IS NOT NULL THEN
        RAISE EXCEPTION 'a source table was changed by ALTER TABLE or TRUNCATE meanwhile: %', v_tables
            USING ERRCODE = 'serialization_failure',
                  DETAIL = 'Its rows are not visible to a statement that began before.',
                  HINT = 'Try again, in a new transaction.';
    END IF;
END;
$refuse_rewritten_source$;

COMMENT ON FUNCTION kpi_engine.refuse_rewritten_source() IS
'Raises 40001 if a source table was rewritten, emptied, detached or dropped after the snapshot of '
'this statement: then figures of that snapshot may lack rows. Internal to refreshes, audits and '
'what is computed at this moment.';

REVOKE ALL ON FUNCTION kpi_engine.refuse_rewritten_source() FROM public;
