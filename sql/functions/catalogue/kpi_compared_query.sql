-- Writes the query that sets each row of a KPI view beside that of an earlier period (compare).
--
-- Invariant: the two rows have the same key, except the time. A whole earlier period comes from the
-- view itself. A part of one is computed from the facts (kpi_engine.rows_of_part), once for each
-- period of the page that is not over. A column that can't be computed for a part is NULL there. So
-- are all of them while the view does not show these facts yet.
-- If the earlier period has no row, its columns show what their COMMENTs say, as with fill=true:
-- 0 for counts and sums, NULL for averages. Before the first period of the view all is NULL,
-- because nothing is known. The same holds for a period that begins after the last refresh.
-- The difference is 100 × (now − before) / |before|: its sign says which one is greater.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_compared_query(
    p_view_name text,
    p_relation regclass,
    p_key text[],
    p_time text,
    p_grain text,
    p_compare text,
    p_page text
)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_compared_query$
DECLARE
    -- By name: make migrate may put a new view in its place at any moment.
    v_view constant text := format('analytics.%I', p_view_name);
    v_has_parts constant boolean := kpi_engine.kpi_has_parts(p_relation, p_time)
        AND NOT kpi_engine.facts_are_ahead(p_view_name);
    v_before text;
    v_shown text;
    v_same_key text;
BEGIN
    SELECT
        string_agg(
            format(
                'CASE %s WHEN before.period IS NOT NULL THEN (before.shown).%I '
                'WHEN period.first_day >= history.first_period '
                'AND period.last_day >= period.first_day THEN %s END AS %2$I',
                CASE WHEN kpi.is_whole OR NOT v_has_parts THEN 'WHEN period.is_part THEN NULL' END,
                kpi.column_name,
                coalesce(kpi.over_nothing, 'NULL')
            ),
            ', '
        ),
        string_agg(
            format(
                'earlier.%1$I AS %2$I, kpi_engine.difference_pct('
                'kpi.%1$I::numeric, earlier.%1$I::numeric) AS %3$I, ',
                kpi.column_name, kpi.column_name || '_anterior', kpi.column_name || '_dif_pct'
            ),
            ''
        )
    INTO v_before, v_shown
    FROM kpi_engine.kpi_columns(p_relation) AS kpi
    WHERE kpi.is_number;

    SELECT string_agg(
        format(' AND (before.shown).%1$I IS NOT DISTINCT FROM kpi.%1$I', key.name), ''
    )
    INTO v_same_key
    FROM unnest(p_key) AS key (name)
    WHERE key.name <> p_time;

    RETURN format(
        'WITH page AS MATERIALIZED (%1$s), period AS MATERIALIZED ('
        'SELECT listed.period, earlier.* '
        'FROM (SELECT DISTINCT kpi.%2$I AS period FROM page AS kpi) AS listed '
        'CROSS JOIN LATERAL kpi_engine.period_before(listed.period, %3$L, %4$L, $6) AS earlier'
        '), before AS ('
        'SELECT period.period, kpi AS shown '
        'FROM period INNER JOIN %5$s AS kpi ON kpi.%2$I = period.first_day '
        'WHERE NOT period.is_part%6$s) '
        'SELECT kpi.*, %7$s NOT period.is_over AS incompleto '
        'FROM page AS kpi '
        'INNER JOIN period ON period.period = kpi.%2$I '
        'CROSS JOIN (SELECT min(kpi.%2$I) AS first_period FROM %5$s AS kpi) AS history '
        'LEFT JOIN before ON before.period = kpi.%2$I '
        'AND (before.shown).%2$I = period.first_day%8$s '
        'CROSS JOIN LATERAL (SELECT %9$s) AS earlier',
        p_page,
        p_time,
        p_grain,
        p_compare,
        v_view,
        CASE WHEN v_has_parts THEN format(
            ' UNION ALL '
            'SELECT period.period, jsonb_populate_record(NULL::%1$s, part.shown) '
            'FROM period CROSS JOIN LATERAL '
            'kpi_engine.rows_of_part(%1$L, period.first_day, period.last_day) AS part (shown) '
            'WHERE period.is_part AND period.last_day >= period.first_day',
            v_view
        ) END,
        v_shown,
        v_same_key,
        v_before
    );
END;
$kpi_compared_query$;

COMMENT ON FUNCTION kpi_engine.kpi_compared_query(
    text, regclass, text[], text, text, text, text
) IS
'A query with the rows of the query p_page of a KPI view, and the columns that compare '
'(p_compare: previous or year) adds. Its parameter $6 is the day of the last refresh.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_compared_query(
    text, regclass, text[], text, text, text, text
) FROM public;
