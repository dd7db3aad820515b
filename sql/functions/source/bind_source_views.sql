-- Writes the src_ views again, by the present meaning of the names of the contract.
--
-- Invariant: afterwards each src_ view reads the tables and columns that have these names. It
-- returns the views that read something else before. It compares their texts, as PostgreSQL shows
-- them.

CREATE OR REPLACE FUNCTION kpi_engine.bind_source_views()
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $bind_source_views$
DECLARE
    v_source record;
    v_view record;
    v_before text;
    v_name text;
    v_moved text[] := ARRAY[]::text[];
BEGIN
    SELECT found.* INTO STRICT v_source
    FROM kpi_engine.installation
    CROSS JOIN kpi_engine.find_source(installation.source_schema) AS found;
    FOR v_view IN
        SELECT definitions.*
        FROM kpi_engine.source_view_definitions(
            v_source.source_schema, v_source.source_generation
        ) AS definitions
    LOOP
        v_name := format('kpi_engine.%I', v_view.view_name);
        v_before := pg_get_viewdef(to_regclass(v_name));
        EXECUTE v_view.definition;
        IF v_before IS DISTINCT FROM pg_get_viewdef(v_name::regclass) THEN
            v_moved := v_moved || v_view.view_name;
        END IF;
    END LOOP;
    RETURN v_moved;
END;
$bind_source_views$;

COMMENT ON FUNCTION kpi_engine.bind_source_views() IS
'Creates the src_ views again over the operational tables as they are called now; returns those '
'that read something else before. Errors: 42P01 lists what does not fit the contract. Internal to '
'kpi_engine.settle_source() and analytics.bind_source().';

REVOKE ALL ON FUNCTION kpi_engine.bind_source_views() FROM public;
