-- Says a finding of the gate in words.
--
-- Invariant: no figures of a view that only operators may read, since readers see health and the
-- refresh log. p_view_name NULL: for an operator.

CREATE OR REPLACE FUNCTION kpi_engine.gate_words(
    p_view_name text,
    p_rule text,
    p_column_name text,
    p_period date,
    p_before numeric,
    p_after numeric,
    p_allowed text
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $gate_words$
    SELECT CASE
        WHEN NOT kpi_engine.is_for_readers(p_view_name) THEN
            concat_ws(
                ' ', p_rule || ':', p_column_name, 'of ' || p_period,
                'is outside its limits; operators see the figures in analytics.gate_holds'
            )
        WHEN p_rule = 'closed_sum' THEN
            format(
                'closed_sum: the sum of %s of the closed period %s would go from %s to %s '
                '(allowed: %s)',
                p_column_name, p_period, p_before, coalesce(p_after::text, 'nothing'), p_allowed
            )
        WHEN p_rule = 'lost_rows' THEN
            format(
                'lost_rows: it would go from %s rows to %s (allowed: %s)',
                p_before, p_after, p_allowed
            )
        WHEN p_rule = 'null_share' THEN
            format(
                'null_share: %s would be NULL in %s %% of the rows, not in %s %% (allowed: %s more)',
                p_column_name, p_after, p_before, p_allowed
            )
        WHEN p_rule = 'total' THEN
            format(
                'total: %s of %s would be %s, the other total is %s (allowed: %s)',
                p_column_name, coalesce(p_period::text, 'a period without a row'),
                coalesce(p_after::text, 'nothing'), coalesce(p_before::text, 'nothing'), p_allowed
            )
        WHEN p_rule = 'breaker' THEN
            format(
                'breaker: %s of %s known requests changed at once (allowed: %s)',
                p_after, p_before, p_allowed
            )
        ELSE p_rule
    END;
$gate_words$;

COMMENT ON FUNCTION kpi_engine.gate_words(text, text, text, date, numeric, numeric, text) IS
'A finding of the gate or the breaker in words: rule, column, period, before and after (no figures '
'of a view that is for operators alone; p_view_name NULL: with all figures). Internal.';

REVOKE ALL ON FUNCTION kpi_engine.gate_words(text, text, text, date, numeric, numeric, text)
FROM public;
