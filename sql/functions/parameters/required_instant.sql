-- Reads the moment that a function of analytics was asked for, or says what is wrong with it.

CREATE OR REPLACE FUNCTION kpi_engine.required_instant(p_at text)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $required_instant$
DECLARE
    v_at constant timestamptz := kpi_engine.reading_instant(p_at);
BEGIN
    IF v_at IS NULL THEN
        RAISE EXCEPTION 'p_at must be a day or an instant that is not in the future'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', coalesce(quote_literal(left(p_at, 100)), 'NULL')),
                  HINT = 'Such as 2026-05-04 (the end of that local day) or 2026-05-04T10:00-05:00.';
    END IF;
    RETURN v_at;
END;
$required_instant$;

COMMENT ON FUNCTION kpi_engine.required_instant(text) IS
'The moment that p_at names, as kpi_engine.reading_instant() reads it. Error: 22023 if it names '
'none, or one in the future. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.required_instant(text) FROM public;
