-- Tells whether each value of an enum type kept its name.

CREATE OR REPLACE FUNCTION kpi_engine.same_values(p_known jsonb, p_now jsonb)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $same_values$
    SELECT p_now @> p_known;
$same_values$;

COMMENT ON FUNCTION kpi_engine.same_values(jsonb, jsonb) IS
'True where p_now holds all values of p_known under the same names; new ones change nothing. '
'Internal to kpi_engine.settle_source().';

REVOKE ALL ON FUNCTION kpi_engine.same_values(jsonb, jsonb) FROM public;
