-- The word of an operator: what the gate holds back is right.
--
-- Invariant: it accepts what is held now, no more, and notes who said so and why. It says what that
-- is: a refresh may have found something else since the operator looked. A great part of all
-- requests that changes at once is never normal.
-- SECURITY DEFINER: operators write nothing by themselves.

CREATE OR REPLACE FUNCTION analytics.accept_gate(p_view_name text, p_how text, p_reason text)
RETURNS integer
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
AS $accept_gate$
DECLARE
    v_accepted record;
BEGIN
    IF p_how IS NULL OR p_how NOT IN ('once', 'normal') THEN
        RAISE EXCEPTION 'p_how must be once or normal'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', coalesce(quote_literal(p_how), 'NULL')),
                  HINT = 'once: for the next publish. normal: from now on the rule compares with the '
                         'accepted figure.';
    ELSIF p_view_name = 'changes' AND p_how = 'normal' THEN
        RAISE EXCEPTION 'p_how must be once for changes'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'Got normal. What the breaker waits for is accepted each time.',
                  HINT = 'To let larger changes pass each time: SELECT '
                         'analytics.set_setting(''breaker_pct'', ''80'');';
    END IF;
    PERFORM kpi_engine.require_reason(p_reason);
    v_accepted := kpi_engine.accept_holds(p_view_name, p_how, p_reason);
    IF v_accepted.acceptance_ids IS NULL THEN
        RAISE EXCEPTION 'p_view_name must be a view that the gate holds back'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', coalesce(quote_literal(p_view_name), 'NULL')),
                  HINT = coalesce(
                      (
                          SELECT format(
                              'One of %s.', string_agg(DISTINCT gate_holds.view_name, ', '))
                          FROM kpi_engine.gate_holds
                          HAVING count(*) > 0
                      ),
                      'It holds nothing back: SELECT * FROM analytics.gate_holds;');
    END IF;
    RAISE NOTICE 'accepted: %', array_to_string(v_accepted.findings, '; ')
        USING HINT = format('To take it back before the next refresh: SELECT '
                            'analytics.withdraw_gate_acceptance(id, ''the reason'') FROM unnest(%L'
                            '::bigint[]) AS id;', v_accepted.acceptance_ids);
    RETURN cardinality(v_accepted.acceptance_ids);
END;
$accept_gate$;

COMMENT ON FUNCTION analytics.accept_gate(text, text, text) IS
'Accepts what the gate holds back of a view, or what the breaker waits for (p_view_name: changes). '
'p_how: once (for the next publish) or normal (from now on the rules compare with these figures; '
'not for changes). '
'p_reason is kept with the caller''s name in analytics.gate_acceptances. Returns the number of '
'accepted findings; a notice says which they are, since a refresh may have found others meanwhile. '
'The next refresh publishes. Error: 22023 if nothing is held, or a parameter is wrong.';

REVOKE ALL ON FUNCTION analytics.accept_gate(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.accept_gate(text, text, text) TO analytics_operador;
