-- Two spellings of a city are the same city when their keys are equal.
--
-- Invariant: trim white space, collapse inner white space to one space, decompose
-- (NFD), drop combining marks U+0300 to U+036F, upper-case; in this order. White space is what
-- kpi_engine.trim_white_space() trims.

CREATE OR REPLACE FUNCTION analytics.city_key(p_ciudad text)
RETURNS text
LANGUAGE sql
IMMUTABLE STRICT PARALLEL SAFE
SECURITY INVOKER
RETURN upper(
    regexp_replace(
        normalize(
            regexp_replace(
                kpi_engine.trim_white_space(p_ciudad),
                U&'[\0020\0009\000A\000B\000C\000D\0085\2028\2029\00A0]+', ' ', 'g'
            ),
            NFD -- noqa: CP02
        ),
        U&'[\0300-\036F]', '', 'g'
    ) COLLATE pg_catalog."default"
);

COMMENT ON FUNCTION analytics.city_key(text) IS
'Key by which spellings of a city are one city: Bogotá, BOGOTA and " bogota " give BOGOTA. '
'NULL gives NULL.';

REVOKE ALL ON FUNCTION analytics.city_key(text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.city_key(text) TO analytics_lector, analytics_operador;
