-- How much a figure differs from an earlier one, in percent of that one.
--
-- Invariant: the sign says which one is greater, also where the earlier one is negative.

CREATE OR REPLACE FUNCTION kpi_engine.difference_pct(p_now numeric, p_before numeric)
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN kpi_engine.rounded_quotient(100 * (p_now - p_before), abs(p_before));

COMMENT ON FUNCTION kpi_engine.difference_pct(numeric, numeric) IS
'100 × (p_now − p_before) / |p_before|, with 2 decimals; NULL where one is missing or p_before is '
'0. compare, restatements and digests have the same rule.';

REVOKE ALL ON FUNCTION kpi_engine.difference_pct(numeric, numeric) FROM public;
