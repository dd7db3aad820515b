-- Lists the KPI views that the caller of the HTTP API may not read.

CREATE OR REPLACE FUNCTION kpi_engine.hidden_views()
RETURNS text[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $hidden_views$
    SELECT ARRAY(
        SELECT kpi.view_name
        FROM kpi_engine.kpi_views() AS kpi
        WHERE NOT has_table_privilege(kpi_engine.api_caller(), kpi.relation, 'SELECT')
    );
$hidden_views$;

COMMENT ON FUNCTION kpi_engine.hidden_views() IS
'The KPI views that the caller of the HTTP API may not read: their targets and notes are not shown '
'to it. Internal to api.targets() and api.notes().';

REVOKE ALL ON FUNCTION kpi_engine.hidden_views() FROM public;
