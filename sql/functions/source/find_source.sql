-- Finds the operational tables, and the generation of their schema.
--
-- Invariant: it returns a schema that fulfils the contract, or raises one error that lists
-- everything that is missing. It changes nothing.

CREATE OR REPLACE FUNCTION kpi_engine.find_source(p_schema text DEFAULT NULL)
RETURNS TABLE (source_schema text, source_generation text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $find_source$
DECLARE
    v_candidates constant text[] := CASE
        WHEN p_schema IS NULL THEN ARRAY['public', 'teloo']
        ELSE ARRAY[p_schema]
    END;
    v_present text[];
    v_problems text[];
BEGIN
    SELECT array_agg(candidate.name ORDER BY candidate.position) INTO v_present
    FROM unnest(v_candidates) WITH ORDINALITY AS candidate (name, position)
    INNER JOIN pg_namespace ON pg_namespace.nspname = candidate.name
    INNER JOIN pg_class
        ON pg_class.relnamespace = pg_namespace.oid
        AND pg_class.relname = 'solicitudes'
        AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f');
    IF cardinality(v_present) > 1 THEN
        RAISE EXCEPTION 'the operational tables are in more than one schema'
            USING ERRCODE = 'ambiguous_parameter',
                  DETAIL = format('Table solicitudes is in %s.', array_to_string(v_present, ', ')),
                  HINT = 'Name the right one: SOURCE_SCHEMA=public make migrate';
    END IF;

    source_schema := coalesce(v_present[1], v_candidates[1]);

    -- The name of the table of audits shows the generation. Without it, apellido does.
    SELECT CASE
        WHEN bool_or(pg_class.relname = 'auditorias_tiendas') THEN 'A'
        WHEN bool_or(pg_class.relname = 'auditoria_tiendas') THEN 'B'
        WHEN bool_or(pg_attribute.attname = 'apellido') THEN 'A'
        WHEN bool_or(pg_class.relname = 'usuarios') THEN 'B'
        ELSE 'A'
    END INTO source_generation
    FROM pg_class
    INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
    LEFT JOIN pg_attribute
        ON pg_attribute.attrelid = pg_class.oid
        AND pg_attribute.attname = 'apellido'
        AND pg_class.relname = 'usuarios'
    WHERE
        pg_namespace.nspname = source_schema
        AND pg_class.relname IN ('auditorias_tiendas', 'auditoria_tiendas', 'usuarios');

    SELECT array_agg(DISTINCT source_columns.problem) INTO v_problems
    FROM kpi_engine.source_columns(source_schema, source_generation)
    WHERE source_columns.problem IS NOT NULL;

    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION 'the operational tables in schema % do not fit (generation %): % problem(s)',
            quote_ident(source_schema), source_generation, cardinality(v_problems)
            USING ERRCODE = 'undefined_table',
                  DETAIL = array_to_string(v_problems, E'\n'),
                  HINT = 'What is needed is listed in docs/source.md. '
                         'In another schema? SOURCE_SCHEMA=name make migrate';
    END IF;
    RETURN NEXT;
END;
$find_source$;

COMMENT ON FUNCTION kpi_engine.find_source(text) IS
'Schema and generation of the operational tables. Looks into p_schema, or into public and '
'teloo. Errors: 42P01 lists all tables and columns that are missing or of a wrong type; '
'42P08 when both schemas hold them.';

REVOKE ALL ON FUNCTION kpi_engine.find_source(text) FROM public;
