-- Notes what the gate held back, or that a view was published.
--
-- Invariant: held_at is the first refresh that held the view, however the findings change, until
-- the view is published.

CREATE OR REPLACE FUNCTION kpi_engine.note_holds(
    p_view_name text, p_run_id bigint, p_findings jsonb
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_holds$
DECLARE
    -- An instant in the future does not count: a clock was wrong.
    v_since constant timestamptz := least(analytics.now(), (
        SELECT min(gate_holds.held_at)
        FROM kpi_engine.gate_holds
        WHERE gate_holds.view_name = p_view_name
    ));
BEGIN
    DELETE FROM kpi_engine.gate_holds WHERE gate_holds.view_name = p_view_name;
    INSERT INTO kpi_engine.gate_holds (
        view_name, rule, column_name, period, before, after, allowed, run_id, held_at
    )
    SELECT
        p_view_name,
        finding.rule,
        finding.column_name,
        finding.period,
        finding.before,
        finding.after,
        finding.allowed,
        p_run_id,
        v_since
    FROM jsonb_populate_recordset(NULL::kpi_engine.gate_holds, p_findings) AS finding;
END;
$note_holds$;

COMMENT ON FUNCTION kpi_engine.note_holds(text, bigint, jsonb) IS
'Replaces the rows of a view in kpi_engine.gate_holds by these findings, which keep the instant of '
'the first hold; NULL: there are none. '
'Internal to kpi_engine.run_refresh() and continue_rebuild().';

REVOKE ALL ON FUNCTION kpi_engine.note_holds(text, bigint, jsonb) FROM public;
