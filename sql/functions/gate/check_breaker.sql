-- Lets changes pass, or raises, so that they wait for the word of an operator.

CREATE OR REPLACE FUNCTION kpi_engine.check_breaker(p_changed bigint)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $check_breaker$
DECLARE
    v_findings constant jsonb := kpi_engine.breaker_findings(p_changed);
BEGIN
    IF v_findings IS NOT NULL THEN
        RAISE EXCEPTION 'gate: %', kpi_engine.gate_words(
            NULL, 'breaker', NULL, NULL, (v_findings -> 0 ->> 'before')::numeric, p_changed,
            v_findings -> 0 ->> 'allowed'
        )
            USING ERRCODE = 'TA001',
                  DETAIL = v_findings::text,
                  HINT = 'The changes wait and nothing is lost. If they are right: SELECT '
                         'analytics.accept_gate(''changes'', ''once'', ''the reason'');';
    END IF;
END;
$check_breaker$;

COMMENT ON FUNCTION kpi_engine.check_breaker(bigint) IS
'Raises SQLSTATE TA001 where so many known requests changed at once that an operator has to look '
'(setting breaker_pct). Internal to the refresh and the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.check_breaker(bigint) FROM public;
