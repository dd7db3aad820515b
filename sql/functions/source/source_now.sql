-- The present meaning of the contract's names, and what the src_ views read.
--
-- Invariant: two equal answers mean that each src_ view reads what it read before, and that each
-- name means what it meant before. Names are looked up in the catalog, never remembered. A table or
-- column that was swapped by rename has another identity under the same name.
-- PL/pgSQL keeps the plan: each refresh and each tick asks.

CREATE OR REPLACE FUNCTION kpi_engine.source_now(
    OUT binding jsonb, OUT enum_values jsonb, OUT is_readable boolean
)
RETURNS record
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
-- A few rows of the catalog, by its indexes, whatever its statistics say.
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $source_now$
BEGIN
    WITH contract AS MATERIALIZED (
        SELECT * FROM kpi_engine.source_names()
    ),

    bound AS MATERIALIZED (
        SELECT
            named.view_name,
            named.table_name,
            source.oid AS relation,
            source.relkind,
            source.relowner,
            source.relrowsecurity,
            source.relforcerowsecurity,
            view.relowner AS reader,
            rule.oid AS rule,
            concat_ws(
                ' ', rule.xmin,
                -- The view that unites those of all origins.
                CASE WHEN named.origen IS NOT NULL THEN coalesce((
                    SELECT pg_rewrite.xmin::text
                    FROM pg_class AS united
                    INNER JOIN pg_rewrite ON pg_rewrite.ev_class = united.oid
                    WHERE
                        united.relnamespace = 'kpi_engine'::regnamespace
                        AND united.relname = named.union_name
                ), '-') END
            ) AS rule_version,
            (
                SELECT min(dependency.refobjid)
                FROM pg_depend AS dependency
                WHERE
                    dependency.classid = 'pg_rewrite'::regclass
                    AND dependency.objid = rule.oid
                    AND dependency.refclassid = 'pg_class'::regclass
                    AND dependency.refobjid <> view.oid
            ) AS reads
        FROM (
            SELECT DISTINCT
                contract.view_name,
                contract.union_name,
                contract.table_name,
                contract.source_schema,
                contract.origen
            FROM contract
        ) AS named
        LEFT JOIN pg_namespace ON pg_namespace.nspname = named.source_schema
        LEFT JOIN pg_class AS source
            ON source.relnamespace = pg_namespace.oid
            AND source.relname = named.table_name
            AND source.relkind IN ('r', 'p', 'v', 'm', 'f')
        LEFT JOIN pg_class AS view
            ON view.relnamespace = 'kpi_engine'::regnamespace
            AND view.relname = named.view_name
        LEFT JOIN pg_rewrite AS rule ON rule.ev_class = view.oid AND rule.rulename = '_RETURN'
    ),

    columns AS MATERIALIZED (
        SELECT
            contract.view_name,
            contract.column_name,
            bound.relation,
            bound.reader,
            attribute.attnum,
            attribute.atttypid,
            attribute.attgenerated,
            CASE pg_type.typtype
                WHEN 'e' THEN pg_type.oid
                -- Few are domains, and a call for each column would cost as much as all the rest.
                WHEN 'd' THEN (
                    SELECT enum.oid FROM pg_type AS enum
                    WHERE enum.oid = kpi_engine.base_type(pg_type.oid) AND enum.typtype = 'e'
                )
            END AS enum_type
        FROM contract
        INNER JOIN bound ON bound.view_name = contract.view_name
        INNER JOIN pg_attribute AS attribute
            ON attribute.attrelid = bound.relation
            AND attribute.attname = contract.column_name
            AND attribute.attnum > 0
            AND NOT attribute.attisdropped
        INNER JOIN pg_type ON pg_type.oid = attribute.atttypid
    )

    SELECT
        jsonb_object_agg(bound.view_name, jsonb_build_object(
            'table', bound.relation::bigint,
            'kind', bound.relkind,
            'reads', bound.reads::bigint,
            'rule', bound.rule_version,
            'columns', listed.columns
        )),
        coalesce((
            SELECT jsonb_object_agg(
                format('%s.%s', columns.view_name, columns.column_name),
                CASE
                    WHEN columns.attgenerated <> '' THEN (
                        SELECT to_jsonb(pg_attrdef.xmin::text)
                        FROM pg_attrdef
                        WHERE
                            pg_attrdef.adrelid = columns.relation
                            AND pg_attrdef.adnum = columns.attnum
                    )
                    ELSE (
                        SELECT jsonb_object_agg(pg_enum.oid, pg_enum.enumlabel)
                        FROM pg_enum
                        WHERE pg_enum.enumtypid = columns.enum_type
                    )
                END
            )
            FROM columns
            WHERE columns.attgenerated <> '' OR columns.enum_type IS NOT NULL
        ), '{}'),
        bool_and(
            coalesce(bound.reads = bound.relation, false)
            AND bound.reader IS NOT NULL
            AND coalesce(listed.is_readable, true)
            AND NOT kpi_engine.hides_rows(
                bound.reader, bound.relowner, bound.relrowsecurity, bound.relforcerowsecurity
            )
        )
        AND CASE WHEN pg_my_temp_schema() <> 0 THEN kpi_engine.temporary_part() IS NULL ELSE true END
        -- Usually there is no foreign table.
        AND CASE
            WHEN EXISTS (SELECT FROM pg_foreign_table) THEN NOT EXISTS (
                SELECT FROM kpi_engine.captured_tables() AS captured
                CROSS JOIN LATERAL kpi_engine.server_fault(captured.relation)
                WHERE captured.place <> 'whole'
            )
            ELSE true
        END
    INTO binding, enum_values, is_readable
    FROM bound
    LEFT JOIN (
        SELECT
            columns.view_name,
            jsonb_object_agg(
                columns.column_name, jsonb_build_array(columns.attnum, columns.atttypid::bigint)
            ) AS columns,
            bool_and(has_column_privilege(
                columns.reader, columns.relation, columns.attnum, 'SELECT'
            )) AS is_readable
        FROM columns
        GROUP BY columns.view_name
    ) AS listed ON listed.view_name = bound.view_name;
END;
$source_now$;

COMMENT ON FUNCTION kpi_engine.source_now() IS
'What the names of the source contract mean now: binding, for each src_ view the oid and kind of '
'the table that has the name, the oid of the table that the view reads, the row version of its '
'rule, and for each column its number and type; enum_values, the labels of enum columns and the '
'versions of generated ones; is_readable, whether the views read the tables that have the names, '
'and their owner may read all rows, also those of other servers. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.source_now() FROM public;
