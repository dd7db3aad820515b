-- Lists our tables and sequences that somebody made UNLOGGED: a crash of the server empties them.
--
-- Invariant: no row if a crash loses nothing of ours. The tables that hold the changed rows of one
-- refresh are UNLOGGED by intent: nothing reads what an earlier refresh left in them.

CREATE OR REPLACE FUNCTION kpi_engine.unlogged_tables()
RETURNS TABLE (name text, statement text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $unlogged_tables$
BEGIN
    RETURN QUERY
        SELECT
            pg_class.oid::regclass::text,
            format(
                'ALTER %s %s SET LOGGED;',
                CASE pg_class.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                pg_class.oid::regclass
            )
        FROM pg_class
        WHERE
            pg_class.relnamespace = 'kpi_engine'::regnamespace
            AND pg_class.relpersistence = 'u'
            AND pg_class.relkind IN ('r', 'S')
            AND NOT EXISTS (
                SELECT FROM kpi_engine.derived_tables
                WHERE pg_class.relname = 'changed_' || derived_tables.table_name
            )
            -- A sequence of a column follows its table.
            AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE
                    pg_class.relkind = 'S'
                    AND pg_depend.classid = 'pg_class'::regclass
                    AND pg_depend.objid = pg_class.oid
                    AND pg_depend.deptype IN ('a', 'i')
            )
        ORDER BY 1;
END;
$unlogged_tables$;

COMMENT ON FUNCTION kpi_engine.unlogged_tables() IS
'Our tables and sequences that somebody made UNLOGGED, and the statement that mends each. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.unlogged_tables() FROM public;
