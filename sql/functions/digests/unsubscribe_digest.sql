-- Ends the digests of a mailbox.
--
-- Invariant: afterwards nothing is known of this mailbox and frequency, also no digest on its way,
-- or there is an error.
-- SECURITY DEFINER: operators write nothing by themselves.

CREATE OR REPLACE FUNCTION analytics.unsubscribe_digest(
    p_address text, p_frequency text DEFAULT NULL
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
AS $unsubscribe_digest$
BEGIN
    DELETE FROM kpi_engine.digest_subscriptions
    WHERE
        lower(digest_subscriptions.address) = lower(p_address)
        AND (p_frequency IS NULL OR digest_subscriptions.frequency = p_frequency);
    IF NOT FOUND THEN
        RAISE EXCEPTION '% has no digest%',
            coalesce(quote_literal(left(p_address, 300)), 'NULL'),
            coalesce(' of frequency ' || quote_literal(left(p_frequency, 300)), '')
            USING ERRCODE = 'no_data_found',
                  HINT = 'SELECT * FROM analytics.digest_subscriptions; lists them.';
    END IF;
END;
$unsubscribe_digest$;

COMMENT ON FUNCTION analytics.unsubscribe_digest(text, text) IS
'Ends the digests of a mailbox: of one frequency, or all of them. Their deliveries go, too. Error: '
'P0002 if there is none.';

REVOKE ALL ON FUNCTION analytics.unsubscribe_digest(text, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.unsubscribe_digest(text, text) TO analytics_operador;
