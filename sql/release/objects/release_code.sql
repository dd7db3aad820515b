-- The code of a generated view, as code_of() in scripts/database/sql_files.py: without COMMENT
-- statements, and with one blank for white space that is in no literal.

CREATE FUNCTION pg_temp.release_code(p_text text)
RETURNS text
LANGUAGE sql
AS $release_code$
    SELECT btrim(string_agg(coalesce(token.parts[2], ' '), '' ORDER BY token.place), ' ')
    FROM regexp_matches(
        regexp_replace(
            p_text, $$^COMMENT ON [^;']* IS\s+(?:'(?:[^']|'')*'\s*)+;$$, '', 'gw'
        ),
        $$((?:--[^\n]*|\s)+)|('(?:[^']|'')*'|"[^"]*"|[^'"\s-]+|.)$$, 'g'
    ) WITH ORDINALITY AS token (parts, place)
$release_code$;
