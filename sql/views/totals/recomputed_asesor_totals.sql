-- Sliding totals of each advisor: historical offers and notifications of the last 30 local days.
--
-- Invariant: historical offers and notifications are rows of their own, never joined.

CREATE OR REPLACE VIEW kpi_engine.recomputed_asesor_totals AS
SELECT
    counted.asesor_id,
    count(*) AS facts,
    coalesce(sum(counted.offers), 0) AS offers,
    coalesce(sum(counted.offers_won), 0) AS offers_won,
    coalesce(sum(counted.offers_accepted), 0) AS offers_accepted,
    coalesce(sum(counted.offers_delivered), 0) AS offers_delivered,
    coalesce(sum(counted.offers_complete), 0) AS offers_complete,
    coalesce(sum(counted.response_seconds), 0) AS response_seconds_sum,
    count(counted.response_seconds) AS response_seconds_count,
    coalesce(sum(counted.amount), 0) AS amount_sum,
    count(counted.amount) AS amount_count,
    coalesce(sum(counted.notifications), 0) AS notifications,
    coalesce(sum(counted.notifications_answered), 0) AS notifications_answered,
    coalesce(sum(counted.answer_seconds), 0) AS answer_seconds_sum,
    count(counted.answer_seconds) AS answer_seconds_count
FROM (
    SELECT
        historica_facts.asesor_id,
        1 AS offers,
        historica_facts.is_won::integer AS offers_won,
        historica_facts.is_accepted::integer AS offers_accepted,
        historica_facts.is_delivered::integer AS offers_delivered,
        (
            historica_facts.is_won AND historica_facts.is_accepted AND historica_facts.is_delivered
        )::integer AS offers_complete,
        historica_facts.response_seconds,
        historica_facts.amount,
        0 AS notifications,
        0 AS notifications_answered,
        NULL::numeric AS answer_seconds
    FROM kpi_engine.historica_facts
    CROSS JOIN kpi_engine.window_end
    WHERE historica_facts.local_day BETWEEN window_end.today - 29 AND window_end.today
    UNION ALL
    SELECT
        notificacion_facts.asesor_id,
        0 AS offers,
        0 AS offers_won,
        0 AS offers_accepted,
        0 AS offers_delivered,
        0 AS offers_complete,
        NULL AS response_seconds,
        NULL AS amount,
        1 AS notifications,
        notificacion_facts.is_answered::integer AS notifications_answered,
        notificacion_facts.response_seconds AS answer_seconds
    FROM kpi_engine.notificacion_facts
    CROSS JOIN kpi_engine.window_end
    WHERE notificacion_facts.local_day BETWEEN window_end.today - 29 AND window_end.today
) AS counted
GROUP BY counted.asesor_id;

COMMENT ON VIEW kpi_engine.recomputed_asesor_totals IS
'Sliding totals by advisor: the last 30 local days.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.facts IS
'Offers and notifications of the window.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.offers IS
'Rows of kpi_engine.historica_facts in the 30 local days that end with window_end.today.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.offers_won IS 'Of those, won.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.offers_accepted IS 'Of those, accepted.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.offers_delivered IS 'Of those, delivered.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.offers_complete IS 'Of those, all three.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.response_seconds_sum IS 'Sum of those.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.response_seconds_count IS
'Those with known response_seconds.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.amount_sum IS 'Sum of those, in pesos.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.amount_count IS 'Those with an amount.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.notifications IS
'Rows of kpi_engine.notificacion_facts in the same 30 days.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.notifications_answered IS
'Of those, answered.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.answer_seconds_sum IS
'Sum of response_seconds of the answered ones.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_totals.answer_seconds_count IS
'Answered ones with response_seconds.';

REVOKE ALL ON kpi_engine.recomputed_asesor_totals FROM public;

SELECT kpi_engine.declare_derived_table(
    'asesor_totals', 'difference', ARRAY['asesor_id'],
    p_window_days => ARRAY[30],
    p_fillfactor => 50
);
