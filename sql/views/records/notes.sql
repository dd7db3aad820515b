-- Dated notes of operators.
--
-- Shows kpi_engine.notes. Comments come from there: make migrate copies them.
-- Invariant: of a KPI view only to who may read that view.

CREATE OR REPLACE VIEW analytics.notes WITH (security_barrier) AS
SELECT
    notes.note_id,
    notes.day,
    notes.note,
    notes.view_name,
    notes.author,
    notes.written_at
FROM kpi_engine.notes
WHERE
    CASE
        WHEN notes.view_name IS NOT NULL
            THEN
                has_table_privilege(
                    to_regclass(format('analytics.%I', notes.view_name)), 'SELECT'
                ) IS NOT FALSE
        ELSE true
    END;

REVOKE ALL ON analytics.notes FROM public;
GRANT SELECT ON analytics.notes TO analytics_lector, analytics_operador;
