-- Finds a column dia, semana or mes in the key of a derived table that is another period than that
-- of local_day.
--
-- Invariant: NULL only if each row that the table reads is in the group of its own local_day. By
-- that name kpi_engine.rows_of_groups() and the audit read only the facts of those days.
-- It reads the text that pg_get_viewdef() writes: a column of a list of columns stands at the end
-- of its line.

CREATE OR REPLACE FUNCTION kpi_engine.period_problem(
    p_definition text, p_key_columns text[], p_reads text[]
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $period_problem$
    SELECT format(
        'column %1$s of its key is not the %2$s of local_day in each of its parts, and by that name '
        'the engine reads only the facts of that %2$s: give it another name, or write %3$s',
        period.column_name, period.grain, period.right_form)
    FROM (VALUES
        ('dia', 'day', 'local_day', '(\w+\.)?local_day'),
        (
            'semana', 'week', 'date_trunc(''week'', local_day::timestamp)::date',
            '\(?date_trunc\(''week''::text, \(?(\w+\.)?local_day\)?::timestamp without time zone\)\)?::date'
        ),
        (
            'mes', 'month', 'date_trunc(''month'', local_day::timestamp)::date',
            '\(?date_trunc\(''month''::text, \(?(\w+\.)?local_day\)?::timestamp without time zone\)\)?::date'
        )
    ) AS period (column_name, grain, right_form, pattern)
    WHERE
        period.column_name = ANY (p_key_columns)
        AND EXISTS (
            SELECT FROM kpi_engine.derived_tables
            WHERE
                derived_tables.table_name = ANY (p_reads)
                AND 'local_day' = ANY (derived_tables.value_columns)
        )
        AND (
            -- A part may give it by its place in the list alone. A name may be given behind FROM.
            p_definition ~ '\mUNION\M'
            OR p_definition ~ format('\) \w+\([^)]*\m%s\M', period.column_name)
            OR EXISTS (
                SELECT
                FROM regexp_matches(
                    p_definition, format('([^\n]*\m%s),?(?:\n|$)', period.column_name), 'g'
                ) AS line (parts)
                WHERE
                    line.parts[1] !~ '^\s+GROUP BY '
                    AND regexp_replace(line.parts[1], '^(.*\mSELECT |\s+)', '') !~ format(
                        '^((\w+\.)?%1$s|%2$s AS %1$s)$', period.column_name, period.pattern)
            )
        )
    LIMIT 1;
$period_problem$;

COMMENT ON FUNCTION kpi_engine.period_problem(text, text[], text[]) IS
'What is wrong with a key column dia, semana or mes of a derived table with this definition that '
'reads these derived tables; NULL if it is the period of local_day, or if they have none. Internal '
'to kpi_engine.definition_problem().';

REVOKE ALL ON FUNCTION kpi_engine.period_problem(text, text[], text[]) FROM public;
