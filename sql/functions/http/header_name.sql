-- Writes a name so that it fits in a list in a header of HTTP.
--
-- Invariant: visible ASCII and spaces stay; a comma, a percent sign and each other character become
-- the bytes of UTF-8 in percent-encoding, so no name is lost or meets another one.

CREATE OR REPLACE FUNCTION kpi_engine.header_name(p_name text)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $header_name$
    SELECT string_agg(
        CASE
            WHEN letter.letter ~ '^[ -~]$' AND letter.letter NOT IN (',', '%') THEN letter.letter
            ELSE upper(regexp_replace(
                encode(convert_to(letter.letter, 'UTF8'), 'hex'), '(..)', '%\1', 'g'
            ))
        END, '' ORDER BY letter.place
    )
    FROM regexp_split_to_table(p_name, '') WITH ORDINALITY AS letter (letter, place);
$header_name$;

COMMENT ON FUNCTION kpi_engine.header_name(text) IS
'A name in ASCII without commas, percent-encoded where it needs it: bogotá is bogot%C3%A1. '
'Internal to the headers of an answer.';

REVOKE ALL ON FUNCTION kpi_engine.header_name(text) FROM public;
