-- Describes what a view reads from a table: the columns with their types, and where a foreign
-- table's rows come from.
--
-- Invariant: two descriptions are equal if and only if the view reads the same columns, by name and
-- type, of the same kind of table, and a foreign table names the same server, database and table.
-- Also equal are the values of enums, and the text of the views between that are not ours.
-- A view follows a column by its number. The names here are those of now.
-- Options that only decide how fast rows come are left out.

CREATE OR REPLACE FUNCTION kpi_engine.outside_binding(p_view oid, p_source oid)
RETURNS jsonb
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $outside_binding$
    WITH RECURSIVE reading AS (
        SELECT p_view AS relation
        UNION
        SELECT pg_depend.refobjid
        FROM reading
        INNER JOIN pg_rewrite
            ON pg_rewrite.ev_class = reading.relation AND pg_rewrite.ev_type = '1'
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
        INNER JOIN pg_class
            ON pg_class.oid = pg_depend.refobjid AND pg_class.relkind IN ('v', 'm')
    ),

    read_columns AS (
        SELECT DISTINCT pg_depend.refobjsubid AS number
        FROM reading
        INNER JOIN pg_rewrite
            ON pg_rewrite.ev_class = reading.relation AND pg_rewrite.ev_type = '1'
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid = p_source
    ),

    options AS (
        SELECT jsonb_object_agg(listed.level || option.option_name, option.option_value) AS settings
        FROM (
            SELECT 'server.' AS level, pg_foreign_server.srvoptions AS texts
            FROM pg_foreign_table
            INNER JOIN pg_foreign_server ON pg_foreign_server.oid = pg_foreign_table.ftserver
            WHERE pg_foreign_table.ftrelid = p_source
            UNION ALL
            SELECT 'table.', pg_foreign_table.ftoptions
            FROM pg_foreign_table
            WHERE pg_foreign_table.ftrelid = p_source
            UNION ALL
            SELECT format('column.%s.', pg_attribute.attname), pg_attribute.attfdwoptions
            FROM read_columns
            INNER JOIN pg_attribute
                ON pg_attribute.attrelid = p_source AND pg_attribute.attnum = read_columns.number
        ) AS listed
        CROSS JOIN LATERAL pg_options_to_table(listed.texts) AS option
        WHERE option.option_name <> ALL (ARRAY[
            'fetch_size', 'batch_size', 'use_remote_estimate', 'fdw_startup_cost', 'fdw_tuple_cost',
            'analyze_sampling', 'async_capable', 'parallel_commit', 'parallel_abort',
            'keep_connections', 'application_name', 'connect_timeout', 'options', 'keepalives',
            'keepalives_idle', 'keepalives_interval', 'keepalives_count', 'tcp_user_timeout',
            'sslmode', 'sslcompression', 'updatable', 'truncatable'
        ])
    )

    SELECT jsonb_build_object(
        'kind', pg_class.relkind,
        'columns', coalesce((
            SELECT jsonb_object_agg(
                pg_attribute.attname,
                format_type(pg_attribute.atttypid, pg_attribute.atttypmod)
            )
            FROM read_columns
            INNER JOIN pg_attribute
                ON pg_attribute.attrelid = p_source AND pg_attribute.attnum = read_columns.number
        ), '{}'),
        'labels', coalesce((
            SELECT jsonb_object_agg(
                pg_attribute.attname,
                (
                    SELECT jsonb_agg(pg_enum.enumlabel ORDER BY pg_enum.enumsortorder)
                    FROM pg_enum
                    WHERE pg_enum.enumtypid = enum.type
                )
            )
            FROM read_columns
            INNER JOIN pg_attribute
                ON pg_attribute.attrelid = p_source AND pg_attribute.attnum = read_columns.number
            INNER JOIN pg_type ON pg_type.oid = pg_attribute.atttypid
            -- Also an array or a domain of an enum.
            CROSS JOIN LATERAL (
                VALUES (kpi_engine.base_type(pg_type.oid)), (pg_type.typelem)
            ) AS enum (type)
            WHERE EXISTS (SELECT FROM pg_enum WHERE pg_enum.enumtypid = enum.type)
        ), '{}'),
        'views', coalesce((
            SELECT jsonb_object_agg(
                pg_class.oid::regclass,
                md5(concat(pg_get_viewdef(pg_class.oid), pg_class.reloptions))
            )
            FROM reading
            INNER JOIN pg_class ON pg_class.oid = reading.relation
            WHERE
                pg_class.oid <> p_view
                AND pg_class.relnamespace NOT IN (
                    SELECT pg_namespace.oid FROM pg_namespace
                    WHERE pg_namespace.nspname IN ('analytics', 'kpi_engine', 'api')
                )
        ), '{}'),
        'server', (
            SELECT pg_foreign_server.srvname
            FROM pg_foreign_table
            INNER JOIN pg_foreign_server ON pg_foreign_server.oid = pg_foreign_table.ftserver
            WHERE pg_foreign_table.ftrelid = p_source
        ),
        'options', coalesce((SELECT options.settings FROM options), '{}')
    )
    FROM pg_class
    WHERE pg_class.oid = p_source AND EXISTS (SELECT FROM read_columns);
$outside_binding$;

COMMENT ON FUNCTION kpi_engine.outside_binding(oid, oid) IS
'What view p_view reads from table p_source: kind, columns with types, labels of enums, views of '
'others between, server and options of a foreign table. NULL if the view does not read it. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.outside_binding(oid, oid) FROM public;
