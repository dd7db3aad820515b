-- Lists the parameters that a request for a KPI may have, besides the dimensions of the view.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_parameters()
RETURNS text[]
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN ARRAY[
    'from', 'to', 'order', 'limit', 'offset', 'fill', 'compare', 'as_of', 'reported', 'origen'
];

COMMENT ON FUNCTION kpi_engine.kpi_parameters() IS
'Names of the parameters of all KPIs, as the HTTP API has them.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_parameters() FROM public;
