-- Builds the query of the newest periods of a view that has several rows in a period.
--
-- Invariant: a period comes with all of its rows, or not at all: what a caller adds up is whole.
-- Only the newest period alone may have more than 1000 rows; then it is cut, as by the parameter
-- limit.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_newest_query(
    p_query text, p_time_column text, p_order text
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $kpi_newest_query$
    SELECT format(
        'WITH kpi_all AS MATERIALIZED (%1$s)
         SELECT kpi.* FROM kpi_all AS kpi
         WHERE kpi.%2$I >= (
             SELECT min(period.time)
             FROM (
                 SELECT
                     listed.%2$I AS time,
                     row_number() OVER newest AS number,
                     sum(count(*)) OVER newest AS rows
                 FROM kpi_all AS listed
                 GROUP BY listed.%2$I
                 WINDOW newest AS (ORDER BY listed.%2$I DESC)
             ) AS period
             WHERE period.number <= $4 AND (period.rows <= 1000 OR period.number = 1)
         )
         ORDER BY %3$s LIMIT 1000', p_query, p_time_column, p_order);
$kpi_newest_query$;

COMMENT ON FUNCTION kpi_engine.kpi_newest_query(text, text, text) IS
'Query of the newest $4 periods of p_query, the rows of a KPI view with time p_time_column, sorted '
'by p_order: whole periods, as many as fit into 1000 rows. Internal to kpi_engine.kpi_rows().';

REVOKE ALL ON FUNCTION kpi_engine.kpi_newest_query(text, text, text) FROM public;
