-- Tells whether each value of an enum type kept its name.

CREATE OR REPLACE FUNCTION analytics.same_values(p_known jsonb, p_now jsonb)
RETURNS boolean
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $same_values$
    SELECT p_now @> p_known;
$same_values$;

COMMENT ON FUNCTION analytics.same_values(jsonb, jsonb) IS
'True where p_now holds all values of p_known under the same names; new ones change nothing. '
'Internal to analytics.settle_source().';

REVOKE ALL ON FUNCTION analytics.same_values(jsonb, jsonb) FROM public;
