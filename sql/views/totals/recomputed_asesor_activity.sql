-- What each advisor offered in the last 90 local days.
--
-- Invariant: the last 30 of them are in asesor_totals.

CREATE OR REPLACE VIEW kpi_engine.recomputed_asesor_activity AS
SELECT
    historica_facts.asesor_id,
    count(*) AS offers,
    count(*) FILTER (
        WHERE
        historica_facts.local_day >= window_end.today - 59
        AND historica_facts.local_day < window_end.today - 29
    ) AS offers_before,
    coalesce(
        sum(historica_facts.amount) FILTER (WHERE historica_facts.is_accepted), 0
    ) AS accepted_amount,
    max(historica_facts.local_day) AS latest_day
FROM kpi_engine.historica_facts
CROSS JOIN kpi_engine.window_end
WHERE historica_facts.local_day BETWEEN window_end.today - 89 AND window_end.today
GROUP BY historica_facts.asesor_id;

COMMENT ON VIEW kpi_engine.recomputed_asesor_activity IS
'Sliding totals by advisor: the last 90 local days.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_activity.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_activity.offers IS
'Rows of kpi_engine.historica_facts in the 90 local days that end with window_end.today.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_activity.offers_before IS
'Of those, in the 30 days before the last 30.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_activity.accepted_amount IS
'Sum of amount of the accepted ones, in pesos.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_activity.latest_day IS
'The latest local_day of those.';

REVOKE ALL ON kpi_engine.recomputed_asesor_activity FROM public;

SELECT kpi_engine.declare_derived_table(
    'asesor_activity', 'difference', ARRAY['asesor_id'],
    p_window_days => ARRAY[30, 60, 90],
    p_extremes => '{"latest_day": "max"}',
    p_fillfactor => 50
);
