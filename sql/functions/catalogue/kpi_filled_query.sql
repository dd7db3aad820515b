-- Writes the query that gives a KPI view a row for each period, also for empty ones (fill=true).
--
-- Invariant: a period with a row shows that row. An empty period shows what the COMMENTs of the
-- columns say: 0 for counts and sums, NULL for averages (kpi_engine.kpi_columns).
-- The first period is that of from (not before 2000) or that of the first row. The last one is that
-- of to, but not after the last refresh, because nothing is known about later days. Rows dated
-- before or after stay, and no zeros join them.
-- If the key has another column (a level, a city), each period has a row for each of its values in
-- the selection. Columns that name the value, such as the spelling of a city, come from the newest
-- row.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_filled_query(
    p_relation regclass,
    p_key text[],
    p_time text,
    p_grain text,
    p_selected text,
    p_has_from boolean
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_filled_query$
    WITH the_columns AS (
        SELECT
            kpi.*,
            row_number() OVER () AS position,
            kpi.column_name = ANY (p_key) AND kpi.column_name <> p_time AS is_group,
            cardinality(p_key) > 1 AND kpi.unit = 'texto' AS is_name
        FROM kpi_engine.kpi_columns(p_relation) AS kpi
    ),

    lists AS (
        SELECT
            string_agg(
                CASE
                    WHEN the_columns.column_name = p_time THEN format('period.%I', p_time)
                    WHEN the_columns.is_group THEN format('found.%I', the_columns.column_name)
                    WHEN the_columns.is_name OR the_columns.over_nothing IS NOT NULL THEN format(
                        'CASE WHEN selected.%I IS NULL THEN %s ELSE selected.%I END AS %3$I',
                        p_time,
                        CASE
                            WHEN the_columns.is_name
                                THEN format('found.%I', the_columns.column_name)
                            ELSE the_columns.over_nothing
                        END,
                        the_columns.column_name
                    )
                    ELSE format('selected.%I', the_columns.column_name)
                END,
                ', ' ORDER BY the_columns.position
            ) AS shown,
            string_agg(
                format('selected.%I', the_columns.column_name), ', ' ORDER BY the_columns.position
            ) AS listed,
            string_agg(format('selected.%I', the_columns.column_name), ', ')
                FILTER (WHERE the_columns.is_group) AS groups,
            string_agg(format('selected.%I', the_columns.column_name), ', ')
                FILTER (WHERE the_columns.is_group OR the_columns.is_name) AS names,
            string_agg(
                format(' AND selected.%1$I = found.%1$I', the_columns.column_name), ''
            ) FILTER (WHERE the_columns.is_group) AS same_group
        FROM the_columns
    )

    SELECT format(
        'WITH selected AS MATERIALIZED (%1$s), period AS ('
        'SELECT generate_series(date_trunc(%2$L, %3$s::timestamp), '
        'least($2, $6)::timestamp, interval %5$L)::date AS %4$I) '
        'SELECT %6$s FROM period %7$s LEFT JOIN selected ON selected.%4$I = period.%4$I%8$s '
        'UNION ALL SELECT %9$s FROM selected '
        'WHERE selected.%4$I > $6 OR selected.%4$I < (SELECT min(period.%4$I) FROM period)',
        p_selected,
        p_grain,
        CASE
            WHEN p_has_from THEN 'greatest($1, date ''2000-01-01'')'
            ELSE format('(SELECT min(selected.%I) FROM selected)', p_time)
        END,
        p_time,
        '1 ' || p_grain,
        lists.shown,
        CASE WHEN lists.groups IS NOT NULL THEN format(
            'CROSS JOIN (SELECT DISTINCT ON (%1$s) %2$s FROM selected '
            'ORDER BY %1$s, selected.%3$I DESC) AS found',
            lists.groups, lists.names, p_time
        ) END,
        lists.same_group,
        lists.listed
    )
    FROM lists;
$kpi_filled_query$;

COMMENT ON FUNCTION kpi_engine.kpi_filled_query(regclass, text[], text, text, text, boolean) IS
'A query with the columns of a KPI view and a row for each period from its parameter $1 (from, '
'or the first row) to $2 and $6 (to, the day of the last refresh): those of the query p_selected, '
'and zeros and NULLs. Other rows stay.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_filled_query(regclass, text[], text, text, text, boolean)
FROM public;
