-- Writes the query that computes some groups again, from all rows that the table reads.
--
-- Invariant: it reads no more than it has to. A key column dia, semana or mes is the first day of
-- that period of local_day, so rows are found by their days. A condition on any other key column
-- reaches the rows through the GROUP BY, where an index may serve it.

CREATE OR REPLACE FUNCTION kpi_engine.rows_of_groups(
    p_table kpi_engine.derived_tables, p_groups text
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rows_of_groups$
    SELECT format(
        'SELECT * FROM (%1$s) AS computed WHERE %2$s AND (%3$s) IN (SELECT %3$s FROM %4$I)',
        kpi_engine.query_over(
            kpi_engine.definition_of(p_table.table_name),
            (
                SELECT jsonb_object_agg(read.name, format(
                    'SELECT * FROM %I%s', 'after_' || read.name,
                    CASE WHEN period.column_name IS NOT NULL THEN format(
                        ' WHERE local_day = ANY (ARRAY(
                             SELECT %1$I FROM %2$I
                             UNION
                             SELECT day::date
                             FROM (SELECT DISTINCT %1$I FROM %2$I WHERE isfinite(%1$I)) AS period
                             CROSS JOIN generate_series(
                                 %1$I::timestamp, %1$I + interval %3$L - interval ''1 day'',
                                 interval ''1 day''
                             ) AS day
                         ))',
                        period.column_name, p_groups, period.length
                    ) END
                ))
                FROM unnest(p_table.reads) AS read (name)
                LEFT JOIN (VALUES
                    ('dia', '1 day'), ('semana', '7 days'), ('mes', '1 month')
                ) AS period (column_name, length)
                    ON
                        period.column_name = ANY (p_table.key_columns)
                        AND EXISTS (
                            SELECT FROM kpi_engine.derived_tables AS known
                            WHERE
                                known.table_name = read.name
                                AND 'local_day' = ANY (known.value_columns)
                        )
            )
        ),
        kpi_engine.column_list(
            p_table.key_columns, format('%%1$I = ANY (ARRAY(SELECT %%1$I FROM %I))', p_groups),
            ' AND '
        ),
        kpi_engine.column_list(p_table.key_columns),
        p_groups
    );
$rows_of_groups$;

COMMENT ON FUNCTION kpi_engine.rows_of_groups(kpi_engine.derived_tables, text) IS
'Query for the rows of a derived table whose keys the WITH query p_groups holds, from all rows of '
'what it reads (WITH queries after_<table>). Internal to the derived tables.';

REVOKE ALL ON FUNCTION kpi_engine.rows_of_groups(kpi_engine.derived_tables, text) FROM public;
