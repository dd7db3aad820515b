-- What the gate knows of before: the requests at each publish, since when a view is held, and which
-- acceptances were withdrawn.

ALTER TABLE kpi_engine.publications ADD COLUMN requests_known bigint;
COMMENT ON COLUMN kpi_engine.publications.requests_known IS
'Requests in the marketplace at this publish; NULL for publishes before this column.';

-- The next refresh compares with what is shown now.
DO $fill$
BEGIN
    IF to_regclass('kpi_engine.month_totals') IS NOT NULL THEN
        UPDATE kpi_engine.publications
        SET requests_known = (
            SELECT coalesce(sum(month_totals.requests), 0) FROM kpi_engine.month_totals
        )
        WHERE (publications.view_name, publications.run_id) IN (
            SELECT latest.view_name, max(latest.run_id)
            FROM kpi_engine.publications AS latest
            GROUP BY latest.view_name
        );
    END IF;
END;
$fill$;

COMMENT ON COLUMN kpi_engine.gate_holds.held_at IS
'Since when the view is held back without a break, also by other findings or figures.';

ALTER TABLE kpi_engine.gate_acceptances ADD COLUMN withdrawn_at timestamptz;
ALTER TABLE kpi_engine.gate_acceptances ADD COLUMN withdrawn_by text;
ALTER TABLE kpi_engine.gate_acceptances ADD COLUMN withdrawn_reason text;
COMMENT ON COLUMN kpi_engine.gate_acceptances.withdrawn_at IS
'Since when it does not count any more, by the wall clock; NULL: it was not withdrawn.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.withdrawn_by IS 'The operator who withdrew it.';
COMMENT ON COLUMN kpi_engine.gate_acceptances.withdrawn_reason IS
'Why, in the words of that operator.';
