-- Finds a window in the query of a derived table that the engine could not move with the day.
--
-- Invariant: NULL only if each row that enters or leaves a window when the day moves is of a
-- local_day that kpi_engine.days_at_the_edge() lists by these lengths, and is still in what the
-- table reads. So window_end.today may only be compared with local_day. A table by key finds rows
-- that leave among those that it has, and none that enter: it keeps rows of days that are to come.

CREATE OR REPLACE FUNCTION kpi_engine.window_problem(
    p_definition text, p_upkeep text, p_window_days integer[], p_reads text[]
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $window_problem$
    WITH compared AS (
        SELECT match.parts[1] AS operator, coalesce(match.parts[2], '0')::integer AS days
        FROM regexp_matches(
            p_definition,
            '\mlocal_day\)? (>=|<=|<|>) \(?window_end\.today(?: - (\d+))?\M', 'g'
        ) AS match (parts)
    ),

    needed AS (
        SELECT DISTINCT
            compared.days + CASE WHEN compared.operator IN ('>=', '<') THEN 1 ELSE 0 END AS length
        FROM compared
    ),

    -- By key: what local_day is, as far as that is one column.
    own AS (
        SELECT
            substring(p_definition from '\n *(?:SELECT )?(["\w.]+) AS local_day,?\n') AS day
    )

    SELECT CASE
        WHEN p_definition ~ 'kpi_engine\.window_end ["a-z_]'
            THEN 'it gives window_end another name: read it as window_end.today'
        WHEN p_upkeep = 'key' AND regexp_replace(
            p_definition,
            format(
                '\m%s >= \(window_end\.today - \d+\)',
                coalesce(replace(own.day, '.', '\.'), '(?:\w+\.)?local_day')
            ), '', 'g'
        ) ~ 'window_end\.today'
            THEN 'facts may leave out the rows before a window alone, by a condition such as local_day '
                '>= window_end.today - 29. A row of a later day is kept, and counts when its day comes'
        WHEN p_upkeep = 'key'
            THEN NULL
        WHEN
            regexp_replace(
                p_definition,
                '\mlocal_day\)? (>=|<=|<|>) \(?window_end\.today(?: - \d+)?\)?(?=[) \n;]|$)', '', 'g'
            ) ~ 'window_end\.today'
            THEN 'its windows are conditions of local_day alone, such as local_day BETWEEN '
                'window_end.today - 29 AND window_end.today. For anything else (months so far, ages '
                'in days) keep the days here, and count them in the KPI view from view_state.today'
        WHEN EXISTS (
            SELECT FROM kpi_engine.derived_tables
            WHERE
                derived_tables.table_name = ANY (p_reads)
                AND 'local_day' <> ALL (derived_tables.value_columns)
        )
            THEN format('it has windows, and what it reads (%s) has no local_day to find their rows by',
                array_to_string(p_reads, ', '))
        WHEN EXISTS (
            SELECT FROM needed WHERE needed.length > 0 AND needed.length <> ALL (p_window_days)
        )
            THEN format('its definition has windows of %s days (>= or < window_end.today - n: n + 1 '
                'days; > or <=: n days): name them in p_window_days',
                (SELECT string_agg(needed.length::text, ', ' ORDER BY needed.length) FROM needed
                WHERE needed.length > 0))
        WHEN known.days < (SELECT max(days) FROM unnest(p_window_days) AS given (days))
            THEN format('%s keeps %s days, and a window of this table is longer: make it longer there, '
                'in its definition and in its p_window_days', known.table_name, known.days)
    END
    FROM own
    LEFT JOIN LATERAL (
        SELECT
            derived_tables.table_name,
            (SELECT max(days) FROM unnest(derived_tables.window_days) AS kept (days)) AS days
        FROM kpi_engine.derived_tables
        WHERE derived_tables.table_name = ANY (p_reads) AND derived_tables.window_days IS NOT NULL
        ORDER BY 2
        LIMIT 1
    ) AS known ON true;
$window_problem$;

COMMENT ON FUNCTION kpi_engine.window_problem(text, text, integer[], text[]) IS
'What is wrong with the windows of a derived table with this definition, this way of upkeep, these '
'p_window_days and these derived tables that it reads; NULL if nothing is. Internal to '
'kpi_engine.check_declaration().';

REVOKE ALL ON FUNCTION kpi_engine.window_problem(text, text, integer[], text[]) FROM public;
