-- Finds the operational tables and says which generation of the schema they are.
--
-- Invariant: returns a schema that fulfils the contract, or raises one error that
-- lists everything that is missing; nothing is changed either way.

CREATE OR REPLACE FUNCTION analytics.find_source(p_schema text DEFAULT NULL)
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
    WHERE to_regclass(format('%I.solicitudes', candidate.name)) IS NOT NULL;
    IF cardinality(v_present) > 1 THEN
        RAISE EXCEPTION 'the operational tables are in more than one schema'
            USING ERRCODE = 'ambiguous_parameter',
                  DETAIL = format('Table solicitudes is in %s.', array_to_string(v_present, ', ')),
                  HINT = 'Name the right one: SOURCE_SCHEMA=public make migrate';
    END IF;

    -- The generation with the fewest problems is the one that was meant.
    SELECT candidate.name, generation.name, problem.list
    INTO source_schema, source_generation, v_problems
    FROM unnest(coalesce(v_present, v_candidates)) WITH ORDINALITY AS candidate (name, position)
    CROSS JOIN unnest(ARRAY['A', 'B']) AS generation (name)
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT source_columns.problem) AS list
        FROM analytics.source_columns(candidate.name, generation.name)
        WHERE source_columns.problem IS NOT NULL
    ) AS problem
    ORDER BY coalesce(cardinality(problem.list), 0), candidate.position, generation.name
    LIMIT 1;

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

COMMENT ON FUNCTION analytics.find_source(text) IS
'Schema and generation of the operational tables. Looks into p_schema, or into public and '
'teloo. Errors: 42P01 lists all tables and columns that are missing or of a wrong type; '
'42P08 when both schemas hold them.';

REVOKE ALL ON FUNCTION analytics.find_source(text) FROM public;
