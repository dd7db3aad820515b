-- Tells whether an accepted figure covers another one.
--
-- Invariant: by the same limits as the rules. Between the figures before and after is covered. Lost
-- rows and NULLs are covered only where the figure before is like the accepted one: a loss that
-- begins higher is another one.

CREATE OR REPLACE FUNCTION kpi_engine.gate_accepts(
    p_rule text,
    p_accepted_before numeric,
    p_accepted_after numeric,
    p_before numeric,
    p_after numeric
)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $gate_accepts$
    SELECT coalesce(
        CASE
            WHEN p_rule = 'total' THEN
                abs(coalesce(p_after, 0) - coalesce(p_before, 0))
                <= abs(coalesce(p_accepted_after, 0) - coalesce(p_accepted_before, 0))
            WHEN
                p_rule = 'lost_rows'
                AND (p_before - p_accepted_before) * 100
                > analytics.setting('gate_lost_rows_pct')::numeric * p_accepted_before
                THEN false
            WHEN
                p_rule = 'null_share'
                AND p_accepted_before - p_before > analytics.setting('gate_null_points')::numeric
                THEN false
            ELSE
                coalesce(p_after, 0) BETWEEN
                least(coalesce(p_before, 0), coalesce(p_accepted_after, 0))
                AND greatest(coalesce(p_before, 0), coalesce(p_accepted_after, 0))
                OR CASE p_rule
                    WHEN 'closed_sum' THEN
                        abs(p_after - p_accepted_after) * 100
                        <= analytics.setting('gate_closed_pct')::numeric * abs(p_accepted_after)
                    WHEN 'lost_rows' THEN
                        (p_accepted_after - p_after) * 100
                        <= analytics.setting('gate_lost_rows_pct')::numeric * p_accepted_after
                    WHEN 'null_share' THEN
                        p_after - p_accepted_after
                        <= analytics.setting('gate_null_points')::numeric
                END
        END,
        false
    );
$gate_accepts$;

COMMENT ON FUNCTION kpi_engine.gate_accepts(text, numeric, numeric, numeric, numeric) IS
'True if an operator''s acceptance (of p_accepted_after in place of p_accepted_before) covers a '
'finding of the rule (p_after in place of p_before). Internal to kpi_engine.is_accepted().';

REVOKE ALL ON FUNCTION kpi_engine.gate_accepts(text, numeric, numeric, numeric, numeric)
FROM public;
