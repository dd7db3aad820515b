-- The columns of month_totals that are sums over facts.
--
-- Invariant: those of kpi_engine.month_sums_query(), in the same order.

CREATE OR REPLACE FUNCTION kpi_engine.month_sum_columns()
RETURNS text[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $month_sum_columns$
    SELECT array_agg(pg_attribute.attname::text ORDER BY pg_attribute.attnum)
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = 'kpi_engine.month_totals_a'::regclass
        AND pg_attribute.attnum > 0
        AND NOT pg_attribute.attisdropped
        AND pg_attribute.attname NOT IN ('mes', 'price_minimum', 'price_maximum')
        AND pg_attribute.attname NOT IN (
            SELECT month_keys.total_column FROM kpi_engine.month_keys()
        );
$month_sum_columns$;

COMMENT ON FUNCTION kpi_engine.month_sum_columns() IS
'Names of the columns of month_totals that kpi_engine.month_sums_query() gives.';

REVOKE ALL ON FUNCTION kpi_engine.month_sum_columns() FROM public;
