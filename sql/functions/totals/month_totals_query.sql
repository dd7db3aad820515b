-- Writes the query for complete rows of month_totals, from facts and reference counts.
--
-- Invariant: the reference counts of these months are right already.

CREATE OR REPLACE FUNCTION kpi_engine.month_totals_query(p_facts text, p_suffix text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $month_totals_query$
    SELECT format(
        'SELECT
             sums.*,
             CASE WHEN isfinite(sums.mes) THEN extreme.low END AS price_minimum,
             CASE WHEN isfinite(sums.mes) THEN extreme.high END AS price_maximum%3$s
         FROM (%1$s) AS sums
         INNER JOIN (
             SELECT mes, min(price_minimum) AS low, max(price_maximum) AS high
             FROM %2$s AS fact
             GROUP BY mes
         ) AS extreme ON extreme.mes = sums.mes',
        kpi_engine.month_sums_query(
            format('(SELECT 1::smallint AS sign, fact.* FROM %s AS fact)', p_facts)
        ),
        p_facts,
        (SELECT string_agg(
            format(
                ', (SELECT count(*) FROM kpi_engine.%I AS keys WHERE keys.mes = sums.mes) AS %I',
                month_keys.table_name || p_suffix, month_keys.total_column
            ), '' ORDER BY month_keys.ordinal
        )
         FROM kpi_engine.month_keys())
    );
$month_totals_query$;

COMMENT ON FUNCTION kpi_engine.month_totals_query(text, text) IS
'Query for rows of month_totals: sums and extremes over p_facts (a relation or a subquery in '
'parentheses), distinct counts from the reference counts of a set (_a, _b, or nothing for the '
'active one). Internal.';

REVOKE ALL ON FUNCTION kpi_engine.month_totals_query(text, text) FROM public;
