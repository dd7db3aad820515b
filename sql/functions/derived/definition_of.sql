-- Returns the defining query of a derived table. Each relation in it has its schema.

CREATE OR REPLACE FUNCTION kpi_engine.definition_of(p_table_name text)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $definition_of$
    SELECT rtrim(
        pg_get_viewdef(format('kpi_engine.%I', 'recomputed_' || p_table_name)::regclass), ';'
    );
$definition_of$;

COMMENT ON FUNCTION kpi_engine.definition_of(text) IS
'Text of the view recomputed_<p_table_name>, which defines that derived table. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.definition_of(text) FROM public;
