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
WHERE
    src_ofertas_historicas.asesor_id IS NOT NULL
    AND src_ofertas_historicas.fecha IS NOT NULL;

COMMENT ON VIEW kpi_engine.recomputed_historica_facts IS
'kpi_engine.historica_facts of all time, computed from the source table at this moment.';

REVOKE ALL ON kpi_engine.recomputed_historica_facts FROM public;
