-- Gives the condition by which a statement takes the facts of one origin.

CREATE OR REPLACE FUNCTION kpi_engine.origin_condition(p_alias text, p_origen text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $origin_condition$
    SELECT CASE WHEN p_origen IS NULL THEN 'true' ELSE format('%I.origen = $1', p_alias) END;
$origin_condition$;

COMMENT ON FUNCTION kpi_engine.origin_condition(text, text) IS
'A condition on the facts that the statement calls p_alias: those of the origin that is its first '
'parameter. Over one schema (p_origen is NULL) they have no such column, and it is true. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.origin_condition(text, text) FROM public;
