-- Lets a mailbox have a digest of KPIs.
--
-- Invariant: afterwards the mailbox gets one digest of this frequency, in this language, about
-- these cities, or there is an error. Its first one is about the period that is not over yet.
-- SECURITY DEFINER: operators write nothing by themselves.

CREATE OR REPLACE FUNCTION analytics.subscribe_digest(
    p_address text,
    p_frequency text,
    p_language text DEFAULT 'es',
    p_cities text[] DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $subscribe_digest$
BEGIN
    PERFORM kpi_engine.raise_wrong_subscription(p_address, p_frequency, p_language, p_cities);
    INSERT INTO kpi_engine.digest_subscriptions AS known (
        address, frequency, language, cities, subscribed_by, subscribed_at
    )
    VALUES (
        p_address,
        p_frequency,
        p_language,
        (
            SELECT array_agg(DISTINCT analytics.city_key(city.name))
            FROM unnest(p_cities) AS city (name)
        ),
        kpi_engine.requester(),
        analytics.now()
    )
    ON CONFLICT (lower(address), frequency) DO UPDATE SET
        address = excluded.address,
        language = excluded.language,
        cities = excluded.cities,
        subscribed_by = excluded.subscribed_by;
END;
$subscribe_digest$;

COMMENT ON FUNCTION analytics.subscribe_digest(text, text, text, text[]) IS
'Sends a digest of KPIs to a mailbox: p_frequency daily (yesterday), weekly (last week) or monthly '
'(the month that closed, as reported). p_language: es or en. p_cities: the figures of these '
'cities alone, in any spelling, or NULL for the whole country. Again for the same mailbox and '
'frequency: replaces language and cities. scripts/notifier.py sends them. Error: 22023 names the '
'wrong parameter and the right values.';

REVOKE ALL ON FUNCTION analytics.subscribe_digest(text, text, text, text[]) FROM public;
GRANT EXECUTE ON FUNCTION analytics.subscribe_digest(text, text, text, text[])
TO analytics_operador;
