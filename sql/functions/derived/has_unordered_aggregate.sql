-- Tells whether a query makes a list of its rows in an order that is chance.
--
-- Invariant: each call of array_agg() and its kind has ORDER BY between its own brackets.

CREATE OR REPLACE FUNCTION kpi_engine.has_unordered_aggregate(p_definition text)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $has_unordered_aggregate$
DECLARE
    v_call text;
    v_depth integer;
    v_place integer;
    -- Brackets and words in a text that somebody wrote are not those of the query.
    v_calls constant text[] := regexp_split_to_array(
        regexp_replace(p_definition, '''(?:[^'']|'''')*''', '', 'g'),
        '\m(?:array_agg|string_agg|jsonb?_(?:object_)?agg(?:_\w+)?|xmlagg)\('
    );
BEGIN
    FOREACH v_call IN ARRAY v_calls[2:] LOOP
        v_depth := 1;
        v_place := 1;
        WHILE v_depth > 0 AND v_place <= length(v_call) LOOP
            v_depth := v_depth + CASE substr(v_call, v_place, 1)
                WHEN '(' THEN 1
                WHEN ')' THEN -1
                ELSE 0
            END;
            v_place := v_place + 1;
        END LOOP;
        IF left(v_call, v_place) !~ '\mORDER BY\M' THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END;
$has_unordered_aggregate$;

COMMENT ON FUNCTION kpi_engine.has_unordered_aggregate(text) IS
'Whether array_agg(), string_agg() or one of their kind in the text of a query has no ORDER BY. '
'Internal to definition_problem() and kpi_problems().';

REVOKE ALL ON FUNCTION kpi_engine.has_unordered_aggregate(text) FROM public;
