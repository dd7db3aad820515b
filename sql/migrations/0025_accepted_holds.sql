-- Which hold an operator accepted.

ALTER TABLE kpi_engine.gate_acceptances ADD COLUMN held_at timestamptz;
COMMENT ON COLUMN kpi_engine.gate_acceptances.held_at IS
'As in kpi_engine.gate_holds: which hold was accepted. One for once ends with it. NULL: an older '
'version noted it, and its hold had ended when this column came.';

UPDATE kpi_engine.gate_acceptances
SET
    held_at = (
        SELECT min(gate_holds.held_at)
        FROM kpi_engine.gate_holds
        WHERE gate_holds.view_name = gate_acceptances.view_name
    )
WHERE gate_acceptances.used_by_run IS NULL;
