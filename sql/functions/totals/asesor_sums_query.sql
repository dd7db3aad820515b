-- Writes the query that adds up rows of the 30-day windows by advisor.
--
-- Invariant: the one place that says how an advisor's sliding totals follow from rows.
-- Rows carry a sign: -1 leaves the window, 1 enters it. The result has the columns of
-- asesor_totals from offers to answer_seconds_count, in their order.

CREATE OR REPLACE FUNCTION kpi_engine.asesor_sums_query(p_signed_rows text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $asesor_sums_query$
    SELECT format($query$
        SELECT
            moved.asesor_id,
            sum(moved.sign * moved.offers)::bigint AS offers,
            sum(moved.sign * moved.offers_won)::bigint AS offers_won,
            sum(moved.sign * moved.offers_accepted)::bigint AS offers_accepted,
            sum(moved.sign * moved.offers_delivered)::bigint AS offers_delivered,
            sum(moved.sign * moved.offers_won * moved.offers_accepted
                * moved.offers_delivered)::bigint AS offers_complete,
            coalesce(sum(moved.sign * moved.response_seconds), 0) AS response_seconds_sum,
            coalesce(sum(moved.sign) FILTER (WHERE moved.response_seconds IS NOT NULL), 0)::bigint
                AS response_seconds_count,
            coalesce(sum(moved.sign * moved.amount), 0) AS amount_sum,
            coalesce(sum(moved.sign) FILTER (WHERE moved.amount IS NOT NULL), 0)::bigint
                AS amount_count,
            sum(moved.sign * moved.notifications)::bigint AS notifications,
            sum(moved.sign * moved.notifications_answered)::bigint AS notifications_answered,
            coalesce(sum(moved.sign * moved.answer_seconds), 0) AS answer_seconds_sum,
            coalesce(sum(moved.sign) FILTER (WHERE moved.answer_seconds IS NOT NULL), 0)::bigint
                AS answer_seconds_count
        FROM %s AS moved
        GROUP BY moved.asesor_id
        $query$, p_signed_rows);
$asesor_sums_query$;

COMMENT ON FUNCTION kpi_engine.asesor_sums_query(text) IS
'Query that adds up p_signed_rows (a relation or a subquery in parentheses, with the columns '
'of changed_asesor_rows) by advisor. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.asesor_sums_query(text) FROM public;
