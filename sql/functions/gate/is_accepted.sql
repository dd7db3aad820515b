-- Tells whether the word of an operator lets a finding of the gate pass.

CREATE OR REPLACE FUNCTION kpi_engine.is_accepted(
    p_view_name text,
    p_rule text,
    p_column_name text,
    p_period date,
    p_before numeric,
    p_after numeric
)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $is_accepted$
    SELECT EXISTS (
        SELECT FROM kpi_engine.acceptances_that_count(p_view_name) AS accepted
        WHERE
            accepted.rule = p_rule
            AND accepted.column_name IS NOT DISTINCT FROM p_column_name
            AND accepted.period IS NOT DISTINCT FROM p_period
            AND kpi_engine.gate_accepts(
                p_rule, accepted.before, accepted.after, p_before, p_after)
    );
$is_accepted$;

COMMENT ON FUNCTION kpi_engine.is_accepted(text, text, text, date, numeric, numeric) IS
'True if an open acceptance of an operator covers this finding of a view. Internal to the gate and '
'to kpi_engine.held_views().';

REVOKE ALL ON FUNCTION kpi_engine.is_accepted(text, text, text, date, numeric, numeric)
FROM public;
