-- Says why everything has to be computed again, if a lost change was noted.
--
-- The key says which: f for a change without a key (its table may be another service's), e for new
-- triggers, 0 for TRUNCATE and for tables with rows of several kinds.

CREATE OR REPLACE FUNCTION kpi_engine.everything_reason(p_keys uuid[])
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_keys @> ARRAY['ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid]
        THEN 'a change of a source table could not be noted by key'
    WHEN p_keys @> ARRAY['eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee'::uuid]
        THEN 'change capture was missing, disabled or replaced'
    WHEN cardinality(p_keys) > 0
        THEN 'a source table was truncated, or one above several was written to'
END;

COMMENT ON FUNCTION kpi_engine.everything_reason(uuid[]) IS
'The reason for computing everything again, from the noted lost changes; NULL if there is none. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.everything_reason(uuid[]) FROM public;
