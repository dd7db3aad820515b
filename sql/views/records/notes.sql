-- Dated notes of operators.
--
-- Shows kpi_engine.notes. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.notes AS
SELECT
    notes.note_id,
    notes.day,
    notes.note,
    notes.view_name,
    notes.author,
    notes.written_at
FROM kpi_engine.notes;

REVOKE ALL ON analytics.notes FROM public;
GRANT SELECT ON analytics.notes TO analytics_lector, analytics_operador;
