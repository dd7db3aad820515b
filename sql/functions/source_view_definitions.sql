-- Writes the src_ views: one uniform shape over both generations of the source.
--
-- Invariant: plain projections, which the planner can inline; text is text in the
-- default collation whatever the source has, instants are timestamptz (a timestamp is
-- read as UTC), NaN and infinite values are NULL. An instant "as stored" may be infinite,
-- and so can be looked up in the source's index.

CREATE OR REPLACE FUNCTION analytics.source_view_definitions(p_schema text, p_generation text)
RETURNS TABLE (view_name text, table_name text, definition text)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $source_view_definitions$
    WITH columns AS (
        SELECT
            source_columns.*,
            source_columns.column_name || CASE source_columns.value_kind
                WHEN 'instant as stored' THEN '_as_stored'
                ELSE ''
            END AS output_name,
            CASE
                WHEN source_columns.found_type IS NULL THEN format('NULL::%s', CASE
                    source_columns.value_kind
                    WHEN 'integer' THEN 'bigint'
                    WHEN 'instant' THEN 'timestamptz'
                    WHEN 'instant as stored' THEN 'timestamptz'
                    WHEN 'day' THEN 'date'
                    ELSE source_columns.value_kind
                END)
                WHEN source_columns.value_kind = 'text'
                    THEN format('source.%I::text COLLATE pg_catalog."default"',
                                source_columns.column_name)
                WHEN source_columns.value_kind = 'integer'
                    THEN format('source.%I::bigint', source_columns.column_name)
                WHEN source_columns.value_kind = 'instant as stored'
                    THEN format(
                        CASE source_columns.found_type
                            WHEN 'timestamp without time zone'
                                THEN 'source.%I AT TIME ZONE ''UTC'''
                            ELSE 'source.%I'
                        END, source_columns.column_name)
                WHEN source_columns.found_type IN ('real', 'double precision', 'numeric')
                    THEN format(
                        'CASE WHEN source.%1$I NOT IN (''NaN'', ''Infinity'', ''-Infinity'') '
                        'THEN source.%1$I::numeric END', source_columns.column_name)
                WHEN source_columns.value_kind = 'numeric'
                    THEN format('source.%I::numeric', source_columns.column_name)
                WHEN source_columns.found_type = 'date'
                    THEN format('CASE WHEN isfinite(source.%1$I) THEN source.%1$I END',
                                source_columns.column_name)
                WHEN source_columns.value_kind IN ('instant', 'day')
                    THEN format(
                        CASE source_columns.value_kind
                            WHEN 'day' THEN
                                'analytics.local_date(CASE WHEN isfinite(source.%1$I) '
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
            END AS expression
        FROM analytics.source_columns(p_schema, p_generation)
    )

    SELECT
        columns.view_name,
        columns.table_name,
        format(
            E'CREATE OR REPLACE VIEW analytics.%1$I AS\nSELECT\n%2$s\nFROM %3$I.%4$I AS source;\n'
            'COMMENT ON VIEW analytics.%1$I IS %5$L;\nREVOKE ALL ON analytics.%1$I FROM public;',
            columns.view_name,
            string_agg(
                format('    %s AS %I', columns.expression, columns.output_name), E',\n'
                ORDER BY columns.column_position
            ),
            p_schema,
            columns.table_name,
            format(
                'Source adapter: %I.%I in the shape that both generations share '
                '(NaN and infinite values are NULL). Written by make migrate.',
                p_schema, columns.table_name
            )
        )
    FROM columns
    GROUP BY columns.view_name, columns.table_name
    ORDER BY columns.view_name;
$source_view_definitions$;

COMMENT ON FUNCTION analytics.source_view_definitions(text, text) IS
'The statements that create the src_ views over the operational tables of one schema and '
'generation; make migrate runs those that changed.';

REVOKE ALL ON FUNCTION analytics.source_view_definitions(text, text) FROM public;
