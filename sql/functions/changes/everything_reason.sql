-- Says why everything has to be computed again, if a lost change was noted.
--
-- The key says which: kpi_engine.lost_key(), kpi_engine.new_triggers_key(), or none: 0 for TRUNCATE
-- and for tables with rows of several kinds.

CREATE OR REPLACE FUNCTION kpi_engine.everything_reason(p_keys uuid[])
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN CASE
    WHEN p_keys @> ARRAY[kpi_engine.lost_key()]
        THEN 'a change of a source table could not be noted by key'
    WHEN p_keys @> ARRAY[kpi_engine.new_triggers_key()]
        THEN 'change capture was missing, disabled or replaced'
    WHEN cardinality(p_keys) > 0
        THEN 'a source table was truncated, or one above several was written to'
END;

COMMENT ON FUNCTION kpi_engine.everything_reason(uuid[]) IS
'The reason for computing everything again, from the noted lost changes; NULL if there is none. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.everything_reason(uuid[]) FROM public;
