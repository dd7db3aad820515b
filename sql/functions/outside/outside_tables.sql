-- Lists the tables of other services that KPI views read, with their partitions, and what they are
-- partitions of: what a subscription can write for them.
--
-- Invariant: the columns are those of kpi_engine.tables_below(), and outside_of, the declared
-- table. A table that is an operational one, too, is not in the list.

CREATE OR REPLACE FUNCTION kpi_engine.outside_tables()
RETURNS TABLE (
    relation oid,
    relation_kind char,
    source_schema text,
    schema_id oid,
    table_name text,
    is_part boolean,
    outside_of oid
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $outside_tables$
#variable_conflict use_column
BEGIN
    -- Usually nothing is declared.
    IF NOT EXISTS (SELECT FROM kpi_engine.outside_sources) THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT
            pg_class.oid,
            pg_class.relkind::char,
            pg_namespace.nspname::text,
            pg_namespace.oid,
            format('%I.%I', pg_namespace.nspname, pg_class.relname),
            true,
            declared.relation
        FROM (
            SELECT DISTINCT kpi_engine.outside_relation(outside_sources.source_name) AS relation
            FROM kpi_engine.outside_sources
        ) AS declared
        CROSS JOIN LATERAL (
            SELECT declared.relation AS written
            UNION
            SELECT part.relid FROM pg_partition_tree(declared.relation) AS part
            UNION
            SELECT parent.relid FROM pg_partition_ancestors(declared.relation) AS parent (relid)
        ) AS its
        INNER JOIN pg_class ON pg_class.oid = its.written AND pg_class.relkind IN ('r', 'p')
        INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        WHERE NOT EXISTS (
            SELECT FROM kpi_engine.tables_below() AS below
            WHERE below.relation = pg_class.oid
        );
END;
$outside_tables$;

COMMENT ON FUNCTION kpi_engine.outside_tables() IS
'Tables of other services that KPI views read (outside_of: the declared one), with their '
'partitions and parents. Internal to kpi_engine.followed().';

REVOKE ALL ON FUNCTION kpi_engine.outside_tables() FROM public;
