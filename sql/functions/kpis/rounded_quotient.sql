-- Divides and rounds once: 2 decimals, half away from zero.
--
-- Invariant: the quotient is computed to 30 decimals first. PostgreSQL's own avg()
-- and / give large quotients as few as 4 decimals, which round() would round again.

CREATE OR REPLACE FUNCTION kpi_engine.rounded_quotient(p_numerator numeric, p_denominator numeric)
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN round(
    p_numerator * 1.000000000000000000000000000000 / nullif(p_denominator, 0), 2
);

COMMENT ON FUNCTION kpi_engine.rounded_quotient(numeric, numeric) IS
'p_numerator / p_denominator with 2 decimals, half away from zero, rounded once. '
'NULL over 0 or NULL: an average over nothing is NULL.';

REVOKE ALL ON FUNCTION kpi_engine.rounded_quotient(numeric, numeric) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.rounded_quotient(numeric, numeric)
TO analytics_lector, analytics_operador;
