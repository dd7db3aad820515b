-- Writes the src_ views: one shape over both generations of the source.
--
-- Invariant: plain projections, which the planner can inline. Text is text in the default
-- collation. Instants are timestamptz; a timestamp is read as UTC. NaN and infinite values are
-- NULL. An instant "as stored" may be infinite, so that the source's index can find it.
-- A value that no real row has, and that could overflow a sum, a column or an index, is NULL or
-- cut. The last column, uncountable, names such columns of a row. It costs nothing if it is not
-- read.

CREATE OR REPLACE FUNCTION kpi_engine.source_view_definitions(
    p_schema text, p_generation text, p_prefix text DEFAULT 'src_'
)
RETURNS TABLE (view_name text, table_name text, definition text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $source_view_definitions$
    WITH columns AS (
        SELECT
            source_columns.*,
            shape.*,
            source_columns.column_name || CASE source_columns.value_kind
                WHEN 'instant as stored' THEN '_as_stored'
                ELSE ''
            END AS output_name,
            CASE
                WHEN source_columns.found_type IS NULL
                    THEN format('NULL::%s', shape.type_name)
                -- No index of a source is on these. No index of ours takes more than 2,700 bytes.
                WHEN longest.bytes IS NOT NULL
                    THEN format(
                        'CASE WHEN octet_length(source.%1$I::text) <= %2$s THEN source.%1$I::text '
                        'ELSE left(source.%1$I::text, 100) || ''… '' || md5(source.%1$I::text) END '
                        'COLLATE pg_catalog."default"', source_columns.column_name, longest.bytes)
                WHEN source_columns.value_kind = 'text'
                    THEN format('source.%I::text COLLATE pg_catalog."default"',
                                source_columns.column_name)
                WHEN source_columns.value_kind = 'integer' AND source_columns.found_type = 'bigint'
                    THEN format(
                        'CASE WHEN source.%1$I BETWEEN -2147483648 AND 2147483647 '
                        'THEN source.%1$I END', source_columns.column_name)
                WHEN source_columns.value_kind = 'integer'
                    THEN format('source.%I::bigint', source_columns.column_name)
                WHEN source_columns.value_kind = 'instant as stored'
                    THEN format(
                        CASE source_columns.found_type
                            WHEN 'timestamp without time zone'
                                THEN 'source.%I AT TIME ZONE ''UTC'''
                            ELSE 'source.%I'
                        END, source_columns.column_name)
                -- NaN is greater than all numbers. A cast of real to numeric keeps 6 digits, one of
                -- double precision 15; the text has all of them, with the extra_float_digits of
                -- whatever reads the source.
                WHEN source_columns.found_type IN (
                    'real', 'double precision', 'numeric', 'bigint'
                )
                    THEN format(
                        'CASE WHEN source.%1$I > ''-1e15''::%2$s AND source.%1$I < ''1e15''::%2$s '
                        'THEN source.%1$I%3$s::numeric END',
                        source_columns.column_name,
                        CASE source_columns.found_type
                            WHEN 'bigint' THEN 'numeric'
                            ELSE source_columns.found_type
                        END,
                        CASE WHEN source_columns.found_type IN ('real', 'double precision')
                            THEN '::text'
                        END)
                WHEN source_columns.value_kind = 'numeric'
                    THEN format('source.%I::numeric', source_columns.column_name)
                WHEN source_columns.found_type = 'date'
                    THEN format('CASE WHEN isfinite(source.%1$I) THEN source.%1$I END',
                                source_columns.column_name)
                WHEN source_columns.value_kind IN ('instant', 'day')
                    THEN format(
                        CASE source_columns.value_kind
                            WHEN 'day' THEN
                                'kpi_engine.local_date(CASE WHEN isfinite(source.%1$I) '
                                'THEN source.%1$I%2$s END, '
                                '(SELECT analytics.setting(''time_zone'')))'
                            ELSE 'CASE WHEN isfinite(source.%1$I) THEN source.%1$I%2$s END'
                        END,
                        source_columns.column_name,
                        CASE source_columns.found_type
                            WHEN 'timestamp without time zone' THEN ' AT TIME ZONE ''UTC'''
                            ELSE ''
                        END)
                ELSE format('source.%I', source_columns.column_name)
            END AS expression,
            CASE
                WHEN longest.bytes IS NOT NULL
                    THEN format(
                        'octet_length(source.%I::text) > %s', source_columns.column_name,
                        longest.bytes)
                WHEN source_columns.value_kind = 'integer' AND source_columns.found_type = 'bigint'
                    THEN format(
                        'source.%I NOT BETWEEN -2147483648 AND 2147483647',
                        source_columns.column_name)
                WHEN
                    source_columns.value_kind = 'numeric'
                    AND source_columns.found_type IN (
                        'real', 'double precision', 'numeric', 'bigint'
                    )
                    -- NaN and infinite ones count as NULL, which is no fault.
                    THEN format(
                        'source.%1$I >= ''1e15''::%2$s AND source.%1$I < ''Infinity''::%2$s '
                        'OR source.%1$I <= ''-1e15''::%2$s AND source.%1$I > ''-Infinity''::%2$s',
                        source_columns.column_name,
                        CASE source_columns.found_type
                            WHEN 'bigint' THEN 'numeric'
                            ELSE source_columns.found_type
                        END)
            END AS fault
        FROM kpi_engine.source_columns(p_schema, p_generation)
        CROSS JOIN LATERAL (
            SELECT
                CASE source_columns.value_kind
                    WHEN 'integer' THEN 'bigint'
                    WHEN 'instant' THEN 'timestamptz'
                    WHEN 'instant as stored' THEN 'timestamptz'
                    WHEN 'day' THEN 'date'
                    ELSE source_columns.value_kind
                END AS type_name,
                EXISTS (
                    SELECT FROM pg_namespace
                    INNER JOIN pg_class ON pg_class.relnamespace = pg_namespace.oid
                    INNER JOIN pg_attribute ON pg_attribute.attrelid = pg_class.oid
                    INNER JOIN pg_type ON pg_type.oid = pg_attribute.atttypid
                    WHERE
                        pg_namespace.nspname = p_schema
                        AND pg_class.relname = source_columns.table_name
                        AND pg_attribute.attname = source_columns.column_name
                        AND pg_type.typtype = 'd'
                        -- A table of an earlier version may have it, and keeps it.
                        AND NOT EXISTS (
                            SELECT FROM pg_attribute AS kept
                            INNER JOIN pg_class AS ours ON ours.oid = kept.attrelid
                            WHERE
                                kept.atttypid = pg_type.oid
                                AND ours.relnamespace = 'kpi_engine'::regnamespace
                                AND ours.relkind = 'r'
                        )
                ) AS is_domain
        ) AS shape
        CROSS JOIN LATERAL (
            SELECT
                CASE
                    -- States are compared and not shown; an enum has names of 63 bytes.
                    WHEN
                        source_columns.value_kind <> 'text'
                        OR source_columns.column_name = 'estado'
                        OR source_columns.found_type IS NULL
                        THEN NULL
                    -- A key has up to 4.5 times as many bytes as the text it is made of.
                    WHEN
                        source_columns.column_name IN ('ciudad', 'ciudad_origen', 'marca_vehiculo')
                        THEN 500
                    ELSE 2000
                END AS bytes
        ) AS longest
    )

    SELECT
        p_prefix || substr(columns.view_name, 5),
        columns.table_name,
        format(
            E'CREATE OR REPLACE VIEW kpi_engine.%1$I AS\nSELECT\n%2$s,\n    %6$s AS uncountable\n'
            'FROM %3$I.%4$I AS source;\n'
            'COMMENT ON VIEW kpi_engine.%1$I IS %5$L;\nREVOKE ALL ON kpi_engine.%1$I FROM public;',
            p_prefix || substr(columns.view_name, 5),
            string_agg(
                format(
                    '    %s AS %I',
                    -- Nothing of ours has a type of the source: its owner may drop or alter a domain.
                    CASE
                        WHEN columns.is_domain AND columns.value_kind <> 'text'
                            THEN format('(%s)::%s', columns.expression, columns.type_name)
                        ELSE columns.expression
                    END,
                    columns.output_name
                ), E',\n'
                ORDER BY columns.column_position
            ),
            p_schema,
            columns.table_name,
            format(
                'Source adapter: %I.%I in the shape that both generations share '
                '(NaN, infinite and out-of-range values are NULL, long texts are cut; uncountable '
                'names the columns of a row that are so). Written by make migrate.',
                p_schema, columns.table_name
            ),
            coalesce(
                'CASE WHEN ' || string_agg(columns.fault, ' OR ' ORDER BY columns.column_position)
                || ' THEN concat_ws('', '', ' || string_agg(
                    format('CASE WHEN %s THEN %L END', columns.fault, columns.column_name), ', '
                    ORDER BY columns.column_position
                ) FILTER (WHERE columns.fault IS NOT NULL) || ') END',
                'NULL::text'
            )
        )
    FROM columns
    GROUP BY columns.view_name, columns.table_name
    ORDER BY columns.view_name;
$source_view_definitions$;

COMMENT ON FUNCTION kpi_engine.source_view_definitions(text, text, text) IS
'The statements that create the src_ views over the operational tables of one schema and '
'generation. p_prefix: the beginning of the names of the views. Internal to '
'kpi_engine.source_definitions().';

REVOKE ALL ON FUNCTION kpi_engine.source_view_definitions(text, text, text) FROM public;
