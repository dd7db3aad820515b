-- Trims white space at both ends: space, tab, line breaks (LF, VT, FF, CR, NEL, LS, PS)
-- and the no-break space, which PostgreSQL's \s does not match. analytics.city_key() collapses the
-- same characters inside a text.

CREATE OR REPLACE FUNCTION kpi_engine.trim_white_space(p_text text)
RETURNS text
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
SECURITY INVOKER
RETURN btrim(p_text, U&'\0020\0009\000A\000B\000C\000D\0085\2028\2029\00A0');

COMMENT ON FUNCTION kpi_engine.trim_white_space(text) IS
'The text without white space at its ends: space, tab, line breaks, no-break space (U+00A0).';

REVOKE ALL ON FUNCTION kpi_engine.trim_white_space(text) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.trim_white_space(text) TO analytics_lector, analytics_operador;
