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
    FOR v_source IN
        SELECT sources.source_schema, sources.source_generation, found.source_generation AS now
        FROM kpi_engine.sources()
        CROSS JOIN LATERAL kpi_engine.find_source(sources.source_schema) AS found
    LOOP
        IF v_source.source_generation <> v_source.now THEN
            RAISE EXCEPTION 'the tables in schema % are of generation % now, not %',
                quote_ident(v_source.source_schema), v_source.now, v_source.source_generation
                USING ERRCODE = 'invalid_table_definition',
                      HINT = 'make migrate';
        END IF;
    END LOOP;
    FOR v_view IN SELECT definitions.* FROM kpi_engine.source_definitions() AS definitions LOOP
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
