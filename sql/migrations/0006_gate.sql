-- The gate: publications that wait for the word of an operator.

CREATE TABLE kpi_engine.gate_holds (
    hold_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    view_name text NOT NULL,
    rule text NOT NULL,
    column_name text,
    period date,
    before numeric,
    after numeric,
    allowed text NOT NULL,
    run_id bigint NOT NULL,
    held_at timestamptz NOT NULL
);
CREATE INDEX gate_holds_by_view ON kpi_engine.gate_holds (view_name);
COMMENT ON TABLE kpi_engine.gate_holds IS
'What the last refresh did not publish, and why. Empty is well. accept_gate() lets it pass.';
COMMENT ON COLUMN kpi_engine.gate_holds.hold_id IS 'Order of writing.';
COMMENT ON COLUMN kpi_engine.gate_holds.view_name IS
'Materialized view that keeps its contents; changes for a breaker of all views.';
COMMENT ON COLUMN kpi_engine.gate_holds.rule IS
'closed_sum, lost_rows, null_share, total or breaker.';
COMMENT ON COLUMN kpi_engine.gate_holds.column_name IS 'Column that the rule is about, or NULL.';
COMMENT ON COLUMN kpi_engine.gate_holds.period IS 'First local day of the period, or NULL.';
COMMENT ON COLUMN kpi_engine.gate_holds.before IS
'What is shown or was reported: a sum, rows, a share of NULLs in percent, the other total; of the '
'breaker, the requests that were known.';
COMMENT ON COLUMN kpi_engine.gate_holds.after IS
'What would be shown; of the breaker, how many of the known requests changed.';
COMMENT ON COLUMN kpi_engine.gate_holds.allowed IS 'What the rule allows.';
COMMENT ON COLUMN kpi_engine.gate_holds.run_id IS 'The refresh, as in analytics.refresh_log.';
COMMENT ON COLUMN kpi_engine.gate_holds.held_at IS 'When it was held.';

CREATE TABLE kpi_engine.gate_acceptances (
    acceptance_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    view_name text NOT NULL,
    rule text NOT NULL,
    column_name text,
    period date,
    before numeric,
    after numeric,
    how text NOT NULL CHECK (how IN ('once', 'normal')),
    reason text NOT NULL,
    accepted_by text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_by_run bigint
);
CREATE INDEX gate_acceptances_by_view ON kpi_engine.gate_acceptances (view_name, rule);
COMMENT ON TABLE kpi_engine.gate_acceptances IS
'The words of operators: what they let pass, by name and reason. Never trimmed.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.acceptance_id IS 'Order of writing.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.view_name IS 'As in kpi_engine.gate_holds.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.rule IS 'As in kpi_engine.gate_holds.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.column_name IS 'As in kpi_engine.gate_holds.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.period IS 'As in kpi_engine.gate_holds.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.before IS 'As in kpi_engine.gate_holds.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.after IS
'As in kpi_engine.gate_holds: the figure that was accepted.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.how IS
'once: for the next publish of the view. normal: from now on the rule compares with this figure.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.reason IS 'Why, in the words of the operator.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.accepted_by IS 'The operator.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.accepted_at IS 'When, by the wall clock.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.used_by_run IS
'Of once: the refresh that used it; NULL: it is open.';
