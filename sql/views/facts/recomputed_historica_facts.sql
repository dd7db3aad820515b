-- What a row of ofertas_historicas adds to its advisor's totals, from the source.
--
-- Invariant: a row without advisor or date belongs to nothing.

CREATE OR REPLACE VIEW kpi_engine.recomputed_historica_facts AS
SELECT
    src_ofertas_historicas.id AS historica_id,
    src_ofertas_historicas.asesor_id,
    src_ofertas_historicas.fecha AS local_day,
    coalesce(src_ofertas_historicas.adjudicada, false) AS is_won,
    coalesce(src_ofertas_historicas.aceptada_cliente, false) AS is_accepted,
    coalesce(src_ofertas_historicas.entrega_exitosa, false) AS is_delivered,
    -- 0 seconds means unknown here, unlike in the notifications.
    nullif(src_ofertas_historicas.tiempo_respuesta_seg, 0)::numeric AS response_seconds,
    src_ofertas_historicas.monto_total AS amount
FROM kpi_engine.src_ofertas_historicas
CROSS JOIN kpi_engine.window_end
WHERE
    src_ofertas_historicas.asesor_id IS NOT NULL
    AND src_ofertas_historicas.fecha >= window_end.today - 89;

COMMENT ON VIEW kpi_engine.recomputed_historica_facts IS
'Rows of ofertas_historicas since the start of the 90-day window.';
COMMENT ON COLUMN kpi_engine.recomputed_historica_facts.historica_id IS 'ofertas_historicas.id.';
COMMENT ON COLUMN kpi_engine.recomputed_historica_facts.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_historica_facts.local_day IS 'Local date of fecha.';
COMMENT ON COLUMN kpi_engine.recomputed_historica_facts.is_won IS 'adjudicada is true.';
COMMENT ON COLUMN kpi_engine.recomputed_historica_facts.is_accepted IS 'aceptada_cliente is true.';
COMMENT ON COLUMN kpi_engine.recomputed_historica_facts.is_delivered IS 'entrega_exitosa is true.';
COMMENT ON COLUMN kpi_engine.recomputed_historica_facts.response_seconds IS
'tiempo_respuesta_seg; NULL where it is 0, which means unknown here.';
COMMENT ON COLUMN kpi_engine.recomputed_historica_facts.amount IS 'monto_total, in pesos.';

REVOKE ALL ON kpi_engine.recomputed_historica_facts FROM public;

SELECT kpi_engine.declare_derived_table(
    'historica_facts', 'key', ARRAY['historica_id'],
    p_source_view => 'src_ofertas_historicas',
    p_entities => '{"historica": "historica_id"}',
    p_window_days => ARRAY[90],
    p_indexes => ARRAY['local_day', 'asesor_id']
);
