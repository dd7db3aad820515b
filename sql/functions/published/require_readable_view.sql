-- Refuses a name that is no KPI view, or a view that the caller may not read.

CREATE OR REPLACE FUNCTION kpi_engine.require_readable_view(p_view_name text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $require_readable_view$
DECLARE
    v_views constant text[] := ARRAY(
        SELECT pg_class.relname::text
        FROM pg_class
        WHERE pg_class.relnamespace = 'analytics'::regnamespace AND pg_class.relkind = 'm'
        ORDER BY pg_class.relname
    );
BEGIN
    IF p_view_name IS NULL OR p_view_name <> ALL (v_views) THEN
        RAISE EXCEPTION 'p_view_name must be a materialized view of schema analytics'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', coalesce(quote_literal(p_view_name), 'NULL')),
                  HINT = format('One of %s.', array_to_string(v_views, ', '));
    END IF;
    IF NOT has_table_privilege(
        kpi_engine.api_caller(), format('analytics.%I', p_view_name), 'SELECT'
    ) THEN
        RAISE EXCEPTION 'permission denied for materialized view %', p_view_name
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('GRANT SELECT ON analytics.%I TO %I;', p_view_name,
                                kpi_engine.api_caller());
    END IF;
END;
$require_readable_view$;

COMMENT ON FUNCTION kpi_engine.require_readable_view(text) IS
'Raises 22023 if p_view_name is no materialized view of schema analytics, 42501 if the caller may '
'not read it. Internal to functions of readers.';

REVOKE ALL ON FUNCTION kpi_engine.require_readable_view(text) FROM public;
