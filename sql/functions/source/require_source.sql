-- Refuses to read operational tables that are not the bound ones.
--
-- Invariant: when this returns, each src_ view reads, in full, what the contract names. Otherwise
-- numbers of another table, or of a part of the rows, would be wrong without an error.

CREATE OR REPLACE FUNCTION kpi_engine.require_source(p_even_restored boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $require_source$
DECLARE
    v_messages text[];
    v_remedies text;
BEGIN
    SELECT
        array_agg(problems.message ORDER BY problems.message),
        string_agg(DISTINCT problems.remedy, E'\n')
    INTO v_messages, v_remedies
    FROM analytics.source_problems(p_even_restored) AS problems
    WHERE problems.is_fatal;
    IF v_messages IS NULL THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'the operational tables changed under the KPIs: %',
        array_to_string(v_messages[1:3], '; ') || CASE
            WHEN cardinality(v_messages) > 3
                THEN format('; and %s more', cardinality(v_messages) - 3)
            ELSE ''
        END
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = array_to_string(v_messages, E'\n')
                  || E'\nNothing was read or changed: the views keep their contents.',
              HINT = v_remedies;
END;
$require_source$;

COMMENT ON FUNCTION kpi_engine.require_source(boolean) IS
'Raises 55000 where the operational tables are not what the src_ views read, or can''t be read in '
'full; says what changed and what mends it. Internal: asked before anything reads the source.';

REVOKE ALL ON FUNCTION kpi_engine.require_source(boolean) FROM public;
