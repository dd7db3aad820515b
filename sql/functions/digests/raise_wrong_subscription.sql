-- Raises the error of a wrong subscription.

CREATE OR REPLACE FUNCTION kpi_engine.raise_wrong_subscription(
    p_address text, p_frequency text, p_language text, p_cities text[]
)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $raise_wrong_subscription$
DECLARE
    v_wrong record;
BEGIN
    SELECT * INTO v_wrong
    FROM kpi_engine.wrong_subscription(p_address, p_frequency, p_language, p_cities);
    IF FOUND THEN
        RAISE EXCEPTION 'p_% must be %', v_wrong.parameter, v_wrong.right_values
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format(
                      'Got %s.', coalesce(quote_literal(left(v_wrong.given, 300)), 'NULL'));
    END IF;
END;
$raise_wrong_subscription$;

COMMENT ON FUNCTION kpi_engine.raise_wrong_subscription(text, text, text, text[]) IS
'Raises 22023 for a subscription that kpi_engine.wrong_subscription() finds wrong. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.raise_wrong_subscription(text, text, text, text[]) FROM public;
