-- The median of numbers that are sorted already.
--
-- Invariant: exact: the middle one, or half of the sum of the two middle ones, with every digit;
-- percentile_cont() computes in floating point. Whoever shows it rounds it, once.

CREATE OR REPLACE FUNCTION kpi_engine.median_of_sorted(p_sorted numeric[])
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN 0.5 * (
    p_sorted[(cardinality(p_sorted) + 1) / 2] + p_sorted[cardinality(p_sorted) / 2 + 1]
);

COMMENT ON FUNCTION kpi_engine.median_of_sorted(numeric[]) IS
'Exact median of an array that is sorted and has no NULL, such as array_agg(x ORDER BY x) FILTER '
'(WHERE x IS NOT NULL); NULL over none.';

REVOKE ALL ON FUNCTION kpi_engine.median_of_sorted(numeric[]) FROM public;
