-- Names the KPI views that the caller may read.

CREATE OR REPLACE FUNCTION kpi_engine.readable_kpi_views()
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $readable_kpi_views$
BEGIN
    RETURN (
        SELECT string_agg(kpi.view_name, ', ')
        FROM kpi_engine.kpi_views() AS kpi
        WHERE has_table_privilege(kpi_engine.api_caller(), kpi.relation, 'SELECT')
    );
END;
$readable_kpi_views$;

COMMENT ON FUNCTION kpi_engine.readable_kpi_views() IS
'Names of the KPI views that the caller may read, with commas between them; NULL if there is none. '
'Internal.';

REVOKE ALL ON FUNCTION kpi_engine.readable_kpi_views() FROM public;
