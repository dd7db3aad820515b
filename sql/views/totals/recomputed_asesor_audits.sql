-- The audits of each advisor: those of the last 90 local days, and the latest of all.
--
-- Invariant: audits dated after today count nowhere yet. audits_so_far keeps the row while there is
-- a latest one.

CREATE OR REPLACE VIEW kpi_engine.recomputed_asesor_audits AS
SELECT
    auditoria_facts.asesor_id,
    count(*) AS audits_so_far,
    count(*) FILTER (WHERE auditoria_facts.local_day >= window_end.today - 89) AS audits,
    coalesce(
        sum(auditoria_facts.score) FILTER (
            WHERE auditoria_facts.local_day >= window_end.today - 89
        ), 0
    ) AS score_sum,
    count(auditoria_facts.score) FILTER (
        WHERE auditoria_facts.local_day >= window_end.today - 89
    ) AS score_count,
    max(auditoria_facts.fecha_revision) AS latest_audit
FROM kpi_engine.auditoria_facts
CROSS JOIN kpi_engine.window_end
WHERE auditoria_facts.local_day <= window_end.today
GROUP BY auditoria_facts.asesor_id;

COMMENT ON VIEW kpi_engine.recomputed_asesor_audits IS
'Audits by advisor: of the last 90 local days, and the latest of all time.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_audits.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_audits.audits_so_far IS
'Rows of kpi_engine.auditoria_facts up to window_end.today.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_audits.audits IS
'Of those, in the 90 local days that end with window_end.today.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_audits.score_sum IS
'Sum of the scores of those in the 90 days.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_audits.score_count IS
'Those in the 90 days with a score.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_audits.latest_audit IS
'Latest fecha_revision not after window_end.today, of all time.';

REVOKE ALL ON kpi_engine.recomputed_asesor_audits FROM public;

SELECT kpi_engine.declare_derived_table(
    'asesor_audits', 'difference', ARRAY['asesor_id'],
    p_window_days => ARRAY[90],
    p_extremes => '{"latest_audit": "max"}',
    p_fillfactor => 50
);
