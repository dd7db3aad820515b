-- The totals of all months at this moment, without a refresh.
--
-- Invariant: equal to what a refresh would give, in the caller's snapshot: the settled totals
-- moved by the requests that changed since, which are computed from the source. Where the
-- next refresh would compute everything again, so does this.
-- SECURITY DEFINER: readers get sums, never a source table.

CREATE OR REPLACE FUNCTION kpi_engine.month_totals_now()
RETURNS SETOF kpi_engine.month_totals
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $month_totals_now$
DECLARE
    v_everything boolean;
    v_ids uuid[];
BEGIN
    PERFORM kpi_engine.require_source();
    v_everything := kpi_engine.next_rebuild_reason() IS NOT NULL;
    IF v_everything THEN
        v_ids := ARRAY(SELECT src_solicitudes.id FROM kpi_engine.src_solicitudes);
    ELSE
        v_ids := ARRAY(SELECT waiting.solicitud_id FROM kpi_engine.waiting_requests() AS waiting);
        IF cardinality(v_ids) = 0 THEN
            RETURN QUERY SELECT month_totals.* FROM kpi_engine.month_totals;
            RETURN;
        END IF;
    END IF;

    RETURN QUERY EXECUTE format(
        'WITH fresh AS MATERIALIZED (
             SELECT * FROM kpi_engine.recomputed_solicitud_facts($1)
         ),
         known AS MATERIALIZED (
             SELECT solicitud_facts.*
             FROM unnest($1) AS changed (solicitud_id)
             INNER JOIN kpi_engine.solicitud_facts USING (solicitud_id)
             WHERE NOT $2
         ),
         settled AS MATERIALIZED (
             SELECT * FROM kpi_engine.month_totals WHERE NOT $2
         ),
         signed AS MATERIALIZED (
             SELECT 1::smallint AS sign, * FROM fresh
             UNION ALL
             SELECT -1::smallint, * FROM known
         ),
         difference AS MATERIALIZED (%1$s),
         extreme AS MATERIALIZED (
             SELECT
                 mes,
                 min(price_minimum) FILTER (WHERE sign = 1) AS new_minimum,
                 max(price_maximum) FILTER (WHERE sign = 1) AS new_maximum,
                 min(price_minimum) FILTER (WHERE sign = -1) AS old_minimum,
                 max(price_maximum) FILTER (WHERE sign = -1) AS old_maximum
             FROM signed
             WHERE isfinite(mes)
             GROUP BY mes
         )%2$s
         SELECT
             mes,
             %3$s,
             least(extreme.new_minimum, CASE
                 WHEN extreme.old_minimum = settled.price_minimum THEN (
                     SELECT min(fact.price_minimum) FROM kpi_engine.solicitud_facts AS fact
                     WHERE fact.local_day >= extreme.mes
                     AND fact.local_day < extreme.mes + interval ''1 month''
                     AND fact.solicitud_id NOT IN (SELECT solicitud_id FROM known)
                 )
                 ELSE settled.price_minimum
             END),
             greatest(extreme.new_maximum, CASE
                 WHEN extreme.old_maximum = settled.price_maximum THEN (
                     SELECT max(fact.price_maximum) FROM kpi_engine.solicitud_facts AS fact
                     WHERE fact.local_day >= extreme.mes
                     AND fact.local_day < extreme.mes + interval ''1 month''
                     AND fact.solicitud_id NOT IN (SELECT solicitud_id FROM known)
                 )
                 ELSE settled.price_maximum
             END)%4$s
         FROM settled
         FULL JOIN difference USING (mes)
         LEFT JOIN extreme USING (mes)%5$s
         WHERE coalesce(settled.requests, 0) + coalesce(difference.requests, 0) > 0',
        kpi_engine.month_sums_query('signed'),
        (
            SELECT string_agg(format(
                ', moved_%3$s AS MATERIALIZED (
                     SELECT
                         moved.mes,
                         count(*) FILTER (WHERE known_keys.requests IS NULL)
                         - count(*) FILTER (WHERE known_keys.requests + moved.requests = 0) AS keys
                     FROM (
                         SELECT fact.mes, keys.key, sum(fact.sign) AS requests
                         FROM signed AS fact
                         CROSS JOIN LATERAL %4$s AS keys (key)
                         GROUP BY fact.mes, keys.key
                         HAVING sum(fact.sign) <> 0
                     ) AS moved
                     LEFT JOIN kpi_engine.%1$I AS known_keys
                         ON known_keys.mes = moved.mes AND known_keys.%2$I = moved.key AND NOT $2
                     GROUP BY moved.mes
                 )',
                month_keys.table_name, month_keys.key_column, month_keys.total_column,
                month_keys.keys_of_fact
            ), '' ORDER BY month_keys.ordinal)
            FROM kpi_engine.month_keys()
        ),
        (
            SELECT string_agg(
                format('coalesce(settled.%1$I, 0) + coalesce(difference.%1$I, 0)', name), ', '
                ORDER BY ordinality
            )
            FROM unnest(kpi_engine.month_sum_columns()) WITH ORDINALITY AS sums (name, ordinality)
        ),
        (
            SELECT string_agg(
                format(
                    ', coalesce(settled.%1$I, 0) + coalesce(moved_%1$s.keys, 0)',
                    month_keys.total_column
                ), '' ORDER BY month_keys.ordinal
            )
            FROM kpi_engine.month_keys()
        ),
        (
            SELECT string_agg(
                format(' LEFT JOIN moved_%s USING (mes)', month_keys.total_column), ''
                ORDER BY month_keys.ordinal
            )
            FROM kpi_engine.month_keys()
        )
    ) USING v_ids, v_everything;
END;
$month_totals_now$;

COMMENT ON FUNCTION kpi_engine.month_totals_now() IS
'Rows of kpi_engine.month_totals as they would be after a refresh at this moment: for the '
'real-time views. The cost follows what changed since the last refresh.';

REVOKE ALL ON FUNCTION kpi_engine.month_totals_now() FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.month_totals_now() TO analytics_lector, analytics_operador;
