-- Names what is wrong with a subscription that somebody wants to write.
--
-- Invariant: no row if and only if the subscription can be written. At most one row: the first
-- wrong parameter. An address is one mailbox in ASCII, so nothing in it can end a header of a mail.

CREATE OR REPLACE FUNCTION kpi_engine.wrong_subscription(
    p_address text, p_frequency text, p_language text, p_cities text[]
)
RETURNS TABLE (parameter text, given text, right_values text)
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $wrong_subscription$
DECLARE
    -- RFC 5322 without quotation marks and comments; a name of a host.
    c_atom constant text := '[A-Za-z0-9!#$%&''*+/=?^_`{|}~-]+';
    c_label constant text := '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
BEGIN
    IF p_address IS NULL
        OR length(p_address) > 254
        OR length(split_part(p_address, '@', 1)) > 64
        OR p_address !~ format('^%1$s(\.%1$s)*@%2$s(\.%2$s)*$', c_atom, c_label) THEN
        RETURN QUERY
            SELECT
                'address', p_address,
                'one mailbox without a name, in ASCII, such as ana@example.com';
    ELSIF p_frequency IS NULL OR p_frequency NOT IN ('daily', 'weekly', 'monthly') THEN
        RETURN QUERY SELECT 'frequency', p_frequency, 'daily, weekly or monthly';
    ELSIF p_language IS NULL OR p_language NOT IN ('es', 'en') THEN
        RETURN QUERY SELECT 'language', p_language, 'es or en';
    ELSIF p_cities IS NOT NULL AND (
        cardinality(p_cities) NOT BETWEEN 1 AND 100
        OR EXISTS (
            SELECT FROM unnest(p_cities) AS city (name)
            WHERE
                city.name IS NULL
                OR length(city.name) > 100
                OR analytics.city_key(city.name) = ''
                OR city.name ~ '[\u0001-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069]'
        )
    ) THEN
        RETURN QUERY
            SELECT
                'cities', p_cities::text,
                'NULL (the whole country), or 1 to 100 names of cities, in any spelling';
    END IF;
END;
$wrong_subscription$;

COMMENT ON FUNCTION kpi_engine.wrong_subscription(text, text, text, text[]) IS
'The first parameter of a subscription to digests that is wrong, what was given, and which values '
'are right; no row for a right one. Internal to '
'kpi_engine.raise_wrong_subscription().';

REVOKE ALL ON FUNCTION kpi_engine.wrong_subscription(text, text, text, text[]) FROM public;
