-- Keeps the planner from nested loops while statistics say that a filled source table is empty.
--
-- Invariant: a plan compares no row of one table with each row of another only because a table
-- was emptied, vacuumed, and filled again. ANALYZE needs the rights of its owner; autovacuum comes
-- later. Each caller has SET enable_nestloop: this lasts until it returns.

CREATE OR REPLACE FUNCTION kpi_engine.distrust_statistics()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $distrust_statistics$
BEGIN
    IF EXISTS (
        SELECT FROM kpi_engine.tables_below() AS source
        INNER JOIN pg_class ON pg_class.oid = source.relation
        WHERE pg_class.reltuples = 0 AND pg_class.relpages > 0
    ) THEN
        PERFORM set_config('enable_nestloop', 'off', true);
    END IF;
END;
$distrust_statistics$;

COMMENT ON FUNCTION kpi_engine.distrust_statistics() IS
'Turns enable_nestloop off until its caller returns, if the statistics of an operational table '
'say that it has pages but no rows: it was emptied and may be filled again since. Internal to what '
'computes many rows.';

REVOKE ALL ON FUNCTION kpi_engine.distrust_statistics() FROM public;
