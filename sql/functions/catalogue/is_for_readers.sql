-- Tells whether readers may read a view, so that messages which they see may have its figures.

CREATE OR REPLACE FUNCTION kpi_engine.is_for_readers(p_view_name text)
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $is_for_readers$
    SELECT has_table_privilege(
        'analytics_lector', to_regclass('analytics.' || quote_ident(p_view_name)), 'SELECT'
    ) IS NOT FALSE;
$is_for_readers$;

COMMENT ON FUNCTION kpi_engine.is_for_readers(text) IS
'False if this view of schema analytics is there and its owner took SELECT from analytics_lector. '
'Internal to the words of health, of the gate and of missed targets.';

REVOKE ALL ON FUNCTION kpi_engine.is_for_readers(text) FROM public;
