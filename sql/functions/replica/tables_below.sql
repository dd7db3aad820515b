-- Lists the tables whose rows the figures are computed from: what change capture knows, and where
-- that is a view, the tables below it.
--
-- Invariant: each table that a subscription can write for the figures, under the schema of the
-- source (SOURCE_SCHEMA) that shows its rows. A function in a view hides what it reads.

CREATE OR REPLACE FUNCTION kpi_engine.tables_below()
RETURNS TABLE (
    relation oid,
    relation_kind char,
    source_schema text,
    schema_id oid,
    table_name text,
    is_part boolean
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
SET jit = off
AS $tables_below$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each refresh and each tick asks.
    RETURN QUERY
        WITH RECURSIVE below AS (
            SELECT
                captured.relation,
                captured.relation_kind,
                pg_class.relnamespace AS source_schema,
                captured.place <> 'whole' AS is_part
            FROM kpi_engine.captured_tables() AS captured
            INNER JOIN pg_class ON pg_class.oid = captured.relation
            UNION
            SELECT pg_class.oid, pg_class.relkind::char, below.source_schema, true
            FROM below
            CROSS JOIN LATERAL (
                SELECT pg_depend.refobjid AS relation
                FROM pg_rewrite
                INNER JOIN pg_depend
                    ON
                        pg_depend.classid = 'pg_rewrite'::regclass
                        AND pg_depend.objid = pg_rewrite.oid
                        AND pg_depend.refclassid = 'pg_class'::regclass
                WHERE pg_rewrite.ev_class = below.relation AND below.relation_kind IN ('v', 'm')
                UNION ALL
                SELECT pg_inherits.inhrelid
                FROM pg_inherits
                WHERE
                    pg_inherits.inhparent = below.relation
                    AND NOT pg_inherits.inhdetachpending
                    AND below.is_part
                -- Row by row, by index: usually there is no view.
                OFFSET 0
            ) AS read
            INNER JOIN pg_class ON pg_class.oid = read.relation
        )

        SELECT
            below.relation,
            below.relation_kind,
            source.nspname::text,
            pg_class.relnamespace,
            format('%I.%I', own.nspname, pg_class.relname),
            bool_or(below.is_part)
        FROM below
        INNER JOIN pg_class ON pg_class.oid = below.relation AND pg_class.relkind IN ('r', 'p')
        INNER JOIN pg_namespace AS own ON own.oid = pg_class.relnamespace
        INNER JOIN pg_namespace AS source ON source.oid = below.source_schema
        GROUP BY below.relation, below.relation_kind, source.nspname, own.nspname, pg_class.oid;
END;
$tables_below$;

COMMENT ON FUNCTION kpi_engine.tables_below() IS
'Tables and partitions whose rows the figures are computed from, also those below views: the '
'schema of the source that shows them, their own, and whether they are a part of what is read '
'(is_part) or a table above it. Internal to kpi_engine.followed() and the doctor.';

REVOKE ALL ON FUNCTION kpi_engine.tables_below() FROM public;
