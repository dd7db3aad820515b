-- What the gate knows of before: the requests at each publish, and since when a view is held.

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
