-- Lists the indexes on the operational tables that the engine needs, and says which exist.
--
-- Invariant: without them everything stays correct, but a refresh reads whole tables instead of the
-- changed rows. An index serves if it is a valid B-tree, is not partial, and begins with the
-- column. Each partition has its own row.

CREATE OR REPLACE FUNCTION analytics.source_indexes()
RETURNS TABLE (
    table_name text,
    column_name text,
    purpose text,
    is_present boolean,
    index_name text,
    statement text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $source_indexes$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plans: each tick calls this.
    RETURN QUERY
        WITH RECURSIVE needed AS (
            SELECT
                pg_class.oid AS relation,
                contract.*
            FROM kpi_engine.sources()
            CROSS JOIN (VALUES
                ('solicitudes', 'id', 'changed requests'),
                ('solicitudes', 'created_at', 'rebuild, audit and live KPIs by day'),
                ('repuestos_solicitados', 'solicitud_id', 'parts of changed requests'),
                ('ofertas', 'id', 'requests of changed offer lines'),
                ('ofertas', 'solicitud_id', 'offers of changed requests'),
                ('ofertas', 'created_at', 'live KPIs by day'),
                ('ofertas_detalle', 'oferta_id', 'lines of changed requests'),
                ('adjudicaciones_repuesto', 'oferta_id', 'wins of changed requests'),
                ('asesores', 'id', 'changed advisors'),
                ('usuarios', 'id', 'changed advisors'),
                ('ofertas_historicas', 'id', 'changed historical offers'),
                ('historial_respuestas_ofertas', 'id', 'changed notifications'),
                ('auditorias_tiendas', 'id', 'changed audits'),
                ('auditoria_tiendas', 'id', 'changed audits')
            ) AS contract (source_table, column_name, purpose)
            INNER JOIN pg_namespace
                ON
                    pg_namespace.nspname = sources.source_schema
                    -- The tables of a hub stay empty.
                    AND sources.source_schema <> 'kpi_engine'
            INNER JOIN pg_class
                ON pg_class.relnamespace = pg_namespace.oid
                AND pg_class.relname = contract.source_table
        ),

        tree AS (
            SELECT needed.relation, needed.column_name, needed.purpose FROM needed
            UNION
            SELECT pg_inherits.inhrelid, tree.column_name, tree.purpose
            FROM tree
            INNER JOIN pg_inherits
                ON pg_inherits.inhparent = tree.relation AND NOT pg_inherits.inhdetachpending
        ),

        checked AS (
            SELECT
                tree.column_name,
                tree.purpose,
                pg_class.relname,
                tree.relation::regclass::text AS table_name,
                CASE
                    WHEN octet_length(pg_class.relname || tree.column_name) <= 46
                        THEN format('teloo_analytics_%s_%s', pg_class.relname, tree.column_name)
                    ELSE 'teloo_analytics_'
                        || md5(tree.relation::regclass::text || tree.column_name)
                END AS own_name,
                (
                    SELECT pg_index.indexrelid::regclass::text
                    FROM pg_index
                    INNER JOIN pg_class AS index_class ON index_class.oid = pg_index.indexrelid
                    INNER JOIN pg_am ON pg_am.oid = index_class.relam AND pg_am.amname = 'btree'
                    WHERE
                        pg_index.indrelid = tree.relation
                        AND pg_index.indisvalid
                        AND pg_index.indpred IS NULL
                        AND pg_index.indkey[0] = pg_attribute.attnum
                    ORDER BY pg_index.indexrelid
                    LIMIT 1
                ) AS index_name
            FROM tree
            INNER JOIN pg_class ON pg_class.oid = tree.relation AND pg_class.relkind IN ('r', 'm')
            INNER JOIN pg_attribute
                ON pg_attribute.attrelid = tree.relation
                AND pg_attribute.attname = tree.column_name
        )

        SELECT
            checked.table_name,
            checked.column_name,
            checked.purpose,
            checked.index_name IS NOT NULL,
            coalesce(checked.index_name, checked.own_name),
            CASE WHEN checked.index_name IS NULL THEN format(
                'CREATE INDEX CONCURRENTLY %I ON %s (%I)',
                checked.own_name, checked.table_name, checked.column_name
            ) END
        FROM checked
        ORDER BY checked.table_name, checked.column_name;
END;
$source_indexes$;

COMMENT ON FUNCTION analytics.source_indexes() IS
'The indexes on the operational tables that make the cost of a refresh follow the changes. For '
'each table or partition and column: its purpose, whether it exists, its name, and the statement '
'that builds a missing one without blocking writers (make indexes runs them).';

REVOKE ALL ON FUNCTION analytics.source_indexes() FROM public;
GRANT EXECUTE ON FUNCTION analytics.source_indexes() TO analytics_operador;
