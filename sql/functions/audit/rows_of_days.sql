-- Writes the replacements by which a definition reads only rows of periods that begin on some days.

CREATE OR REPLACE FUNCTION kpi_engine.rows_of_days(p_reads text[])
RETURNS jsonb
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rows_of_days$
    SELECT coalesce(jsonb_object_agg(read.name, format(
        'SELECT * FROM kpi_engine.%I%s', read.name,
        CASE
            -- The longest period that may begin on a day before the end of a month is a week.
            WHEN 'local_day' = ANY (known.value_columns)
                THEN ' WHERE local_day BETWEEN $2 AND greatest($3 + 6, $2)'
            WHEN period.column_name IS NOT NULL
                THEN format(' WHERE %I BETWEEN $2 AND $3', period.column_name)
        END
    )), '{}')
    FROM unnest(p_reads) AS read (name)
    INNER JOIN kpi_engine.derived_tables AS known ON known.table_name = read.name
    LEFT JOIN LATERAL (
        SELECT listed.column_name
        FROM unnest(known.key_columns) AS listed (column_name)
        WHERE listed.column_name IN ('dia', 'semana', 'mes')
        LIMIT 1
    ) AS period ON true;
$rows_of_days$;

COMMENT ON FUNCTION kpi_engine.rows_of_days(text[]) IS
'For kpi_engine.query_over(): of these derived tables, the rows of the periods (dia, semana, mes) '
'that begin on the days $2 to $3, both included; $2 is the first day of a month. Internal to the '
'audit.';

REVOKE ALL ON FUNCTION kpi_engine.rows_of_days(text[]) FROM public;
