-- Lists the units of columns that are numbers.

CREATE OR REPLACE FUNCTION kpi_engine.number_units()
RETURNS text[]
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN ARRAY['COP', 'segundos', 'dias', 'meses', 'pct', 'conteo', 'razon'];

COMMENT ON FUNCTION kpi_engine.number_units() IS
'Units that the COMMENT of a column can have if the column is a number. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.number_units() FROM public;
