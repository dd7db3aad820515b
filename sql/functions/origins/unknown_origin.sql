-- Says which origins there are, if a name is none of them.

CREATE OR REPLACE FUNCTION kpi_engine.unknown_origin(p_origen text)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $unknown_origin$
DECLARE
    v_known constant text[] := ARRAY(
        SELECT origins.source_schema FROM kpi_engine.origins ORDER BY origins.number
    );
BEGIN
    RETURN CASE
        WHEN kpi_engine.is_hub()
            THEN 'This is a hub: it has no figures by site. Ask the site.'
        WHEN v_known = ARRAY[]::text[]
            THEN 'All operational tables are in one schema, so no row says where it is from. An '
            'origin is a schema of its own: docs/scaling.md, Several into one.'
        WHEN p_origen IS NULL OR p_origen <> ALL (v_known)
            THEN format('The origins are: %s.', array_to_string(v_known, ', '))
    END;
END;
$unknown_origin$;

COMMENT ON FUNCTION kpi_engine.unknown_origin(text) IS
'NULL if p_origen is the name of an origin; otherwise which origins there are. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.unknown_origin(text) FROM public;
