-- Writes the query that counts the requests by month and key, from facts.

CREATE OR REPLACE FUNCTION kpi_engine.month_keys_query(p_facts text, p_keys_of_fact text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $month_keys_query$
    SELECT format(
        'SELECT fact.mes, keys.key, count(*)::integer AS requests
         FROM %1$s AS fact
         CROSS JOIN LATERAL %2$s AS keys (key)
         GROUP BY fact.mes, keys.key',
        p_facts, p_keys_of_fact
    );
$month_keys_query$;

COMMENT ON FUNCTION kpi_engine.month_keys_query(text, text) IS
'Query for rows of a reference-count table: requests by month and key over p_facts (a relation '
'or a subquery in parentheses), with the keys of a fact as kpi_engine.month_keys() has them. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.month_keys_query(text, text) FROM public;
