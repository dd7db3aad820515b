-- Writes the query that adds up facts by month.
--
-- Invariant: the one place that says how a month's sums follow from its facts. Rows carry
-- a sign: all facts with 1 give the totals; facts that go with -1 and that come with 1
-- give the difference. The result has the columns of month_totals in their order, without
-- those that are no sums: lowest and highest price, and the distinct counts.

CREATE OR REPLACE FUNCTION kpi_engine.month_sums_query(p_signed_facts text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $month_sums_query$
    SELECT format($query$
        SELECT
            fact.mes,
            sum(fact.sign)::bigint AS requests,
            coalesce(sum(fact.sign) FILTER (WHERE fact.is_accepted), 0)::bigint
                AS requests_accepted,
            coalesce(sum(fact.sign) FILTER (WHERE fact.is_rejected), 0)::bigint
                AS requests_rejected,
            coalesce(sum(fact.sign) FILTER (
                WHERE fact.estado IN ('EXPIRADA', 'CERRADA_SIN_OFERTAS')), 0)::bigint
                AS requests_expired,
            coalesce(sum(fact.sign) FILTER (WHERE fact.estado = 'CERRADA_SIN_OFERTAS'), 0)::bigint
                AS requests_without_offers,
            coalesce(sum(fact.sign) FILTER (WHERE fact.estado = 'ABIERTA'), 0)::bigint
                AS requests_open,
            coalesce(sum(fact.sign * fact.closing_seconds), 0) AS closing_seconds_sum,
            coalesce(sum(fact.sign) FILTER (WHERE fact.closing_seconds IS NOT NULL), 0)::bigint
                AS closing_seconds_count,
            sum(fact.sign * fact.offers)::bigint AS offers,
            sum(fact.sign * fact.offers_won)::bigint AS offers_won,
            sum(fact.sign * fact.offers_accepted)::bigint AS offers_accepted,
            sum(fact.sign * fact.offers_pending)::bigint AS offers_pending,
            sum(fact.sign * fact.delivery_days_sum) AS delivery_days_sum,
            sum(fact.sign * fact.delivery_days_count)::bigint AS delivery_days_count,
            sum(fact.sign * fact.price_sum) AS price_sum,
            sum(fact.sign * fact.price_count)::bigint AS price_count,
            sum(fact.sign * fact.warranty_months_sum) AS warranty_months_sum,
            sum(fact.sign * fact.warranty_months_count)::bigint AS warranty_months_count,
            sum(fact.sign * fact.accepted_amount) AS accepted_amount
        FROM %s AS fact
        GROUP BY fact.mes
        $query$, p_signed_facts);
$month_sums_query$;

COMMENT ON FUNCTION kpi_engine.month_sums_query(text) IS
'Query that adds up p_signed_facts (a relation or a subquery in parentheses: sign and the '
'columns of solicitud_facts) by month: mes and the sums of month_totals. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.month_sums_query(text) FROM public;
