-- Lets a publish pass, or raises, so that the caller's subtransaction undoes it.
--
-- Invariant: a finding passes if an operator accepted it: the figure is between the one before and
-- the accepted one, or within the rule from the accepted one.

CREATE OR REPLACE FUNCTION kpi_engine.check_gate(p_view_name text, p_run_id bigint)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $check_gate$
DECLARE
    v_findings jsonb;
    v_text text;
BEGIN
    IF kpi_engine.gate_is_on(p_view_name, p_run_id) THEN
        SELECT
            jsonb_agg(to_jsonb(finding) ORDER BY finding.rule, finding.period, finding.column_name),
            string_agg(kpi_engine.gate_words(
                p_view_name, finding.rule, finding.column_name, finding.period, finding.before,
                finding.after, finding.allowed
            ), '; ' ORDER BY finding.rule, finding.period, finding.column_name)
        INTO v_findings, v_text
        FROM kpi_engine.gate_findings(p_view_name, p_run_id) AS finding
        WHERE NOT kpi_engine.is_accepted(
            p_view_name, finding.rule, finding.column_name, finding.period, finding.before,
            finding.after);
        IF v_findings IS NOT NULL THEN
            RAISE EXCEPTION 'gate: %', left(v_text, 2000)
                USING ERRCODE = 'TA001',
                      DETAIL = v_findings::text,
                      HINT = format(
                          'If it is right: SELECT analytics.accept_gate(%L, ''once'', ''the reason'');',
                          p_view_name);
        END IF;
    END IF;
END;
$check_gate$;

COMMENT ON FUNCTION kpi_engine.check_gate(text, bigint) IS
'Raises SQLSTATE TA001 if a publish that was just noted breaks a rule of the gate and no operator '
'accepted that. DETAIL has the findings as a JSON array. Internal to '
'kpi_engine.run_refresh() and note_new_views().';

REVOKE ALL ON FUNCTION kpi_engine.check_gate(text, bigint) FROM public;
