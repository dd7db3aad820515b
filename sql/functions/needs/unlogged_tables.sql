-- Lists our tables and sequences that somebody made UNLOGGED: a crash of the server empties them.
--
-- Invariant: no row if a crash loses nothing of ours. The tables that hold the changed rows of one
-- refresh are UNLOGGED by intent: nothing reads what an earlier refresh left in them.
-- The statements work in this order: a table comes after those that its foreign keys refer to.

CREATE OR REPLACE FUNCTION kpi_engine.unlogged_tables()
RETURNS TABLE (name text, statement text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $unlogged_tables$
BEGIN
    RETURN QUERY
        WITH RECURSIVE refers AS (
            SELECT pg_constraint.conrelid AS relation, pg_constraint.confrelid AS other
            FROM pg_constraint
            WHERE
                pg_constraint.contype = 'f'
                AND pg_constraint.connamespace = 'kpi_engine'::regnamespace
            UNION
            SELECT refers.relation, pg_constraint.confrelid
            FROM refers
            INNER JOIN pg_constraint
                ON pg_constraint.conrelid = refers.other AND pg_constraint.contype = 'f'
        )

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
        ORDER BY (SELECT count(*) FROM refers WHERE refers.relation = pg_class.oid), 1;
END;
$unlogged_tables$;

COMMENT ON FUNCTION kpi_engine.unlogged_tables() IS
'Our tables and sequences that somebody made UNLOGGED, and the statement that mends each. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.unlogged_tables() FROM public;
