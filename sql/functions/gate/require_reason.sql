-- Refuses the word of an operator that does not say why.

CREATE OR REPLACE FUNCTION kpi_engine.require_reason(p_reason text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $require_reason$
BEGIN
    IF coalesce(btrim(p_reason), '') = '' OR length(p_reason) > 1000 THEN
        RAISE EXCEPTION 'p_reason must say why, in 1 to 1000 characters'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', CASE
                      WHEN length(p_reason) > 1000
                          THEN format('%s characters', length(p_reason))
                      ELSE coalesce(quote_literal(p_reason), 'NULL')
                  END),
                  HINT = 'Whoever looks later reads it in analytics.gate_acceptances.';
    END IF;
END;
$require_reason$;

COMMENT ON FUNCTION kpi_engine.require_reason(text) IS
'Raises 22023 if p_reason is NULL, blank, or longer than 1000 characters. Internal to '
'analytics.accept_gate() and withdraw_gate_acceptance().';

REVOKE ALL ON FUNCTION kpi_engine.require_reason(text) FROM public;
