-- Takes back the word of an operator.
--
-- Invariant: it counts no more from the next refresh on. What it let pass stays published, and who
-- said what stays noted.
-- SECURITY DEFINER: operators write nothing by themselves.

CREATE OR REPLACE FUNCTION analytics.withdraw_gate_acceptance(p_acceptance_id bigint, p_reason text)
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
AS $withdraw_gate_acceptance$
BEGIN
    PERFORM kpi_engine.require_reason(p_reason);
    UPDATE kpi_engine.gate_acceptances AS accepted SET
        withdrawn_at = clock_timestamp(),
        withdrawn_by = kpi_engine.requester(),
        withdrawn_reason = p_reason
    WHERE
        accepted.acceptance_id = p_acceptance_id
        AND EXISTS (
            SELECT FROM kpi_engine.acceptances_that_count(accepted.view_name) AS counting
            WHERE counting.acceptance_id = p_acceptance_id
        );
    IF NOT FOUND THEN
        RAISE EXCEPTION 'p_acceptance_id must be an acceptance that counts'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', coalesce(p_acceptance_id::text, 'NULL')),
                  HINT = coalesce(
                      (
                          SELECT format(
                              'One of %s.',
                              string_agg(
                                  counting.acceptance_id::text, ', '
                                  ORDER BY counting.acceptance_id
                              )
                          )
                          FROM (
                              SELECT DISTINCT gate_acceptances.view_name
                              FROM kpi_engine.gate_acceptances
                          ) AS known
                          CROSS JOIN LATERAL
                              kpi_engine.acceptances_that_count(known.view_name) AS counting
                          HAVING count(*) > 0
                      ),
                      'None counts now: SELECT * FROM analytics.gate_acceptances;');
    END IF;
END;
$withdraw_gate_acceptance$;

COMMENT ON FUNCTION analytics.withdraw_gate_acceptance(bigint, text) IS
'Takes back an acceptance (acceptance_id of analytics.gate_acceptances): from the next refresh on '
'it lets nothing pass. p_reason is kept with the caller''s name. What is published stays. Error: '
'22023 if the acceptance is used, withdrawn or not there, if its hold has ended, or if p_reason '
'is missing.';

REVOKE ALL ON FUNCTION analytics.withdraw_gate_acceptance(bigint, text) FROM public;
GRANT EXECUTE ON FUNCTION analytics.withdraw_gate_acceptance(bigint, text) TO analytics_operador;
