-- The operational funnel, one row per local day with a request. Unique key: dia.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.

CREATE MATERIALIZED VIEW mv_embudo_operativo AS
SELECT
    day_totals.dia,
    day_totals.requests AS solicitudes_creadas,
    day_totals.requests_with_offers AS solicitudes_con_ofertas,
    day_totals.requests_awarded AS solicitudes_adjudicadas,
    day_totals.requests_accepted AS solicitudes_aceptadas,
    day_totals.requests_rejected AS solicitudes_rechazadas,
    day_totals.requests_without_offers AS solicitudes_sin_ofertas,
    day_totals.requests_open AS solicitudes_abiertas,
    day_totals.requests_escalated AS solicitudes_escaladas,
    day_totals.offered_pct AS conversion_oferta_pct,
    day_totals.awarded_pct AS conversion_adjudicacion_pct,
    day_totals.awarded_accepted_pct AS conversion_aceptacion_pct,
    day_totals.accepted_pct AS conversion_general_pct,
    day_totals.filled_pct AS tasa_llenado_pct,
    day_totals.escalated_pct AS tasa_escalamiento_pct,
    day_totals.first_offer_seconds_average AS ttfo_promedio_seg,
    day_totals.first_offer_seconds_median AS ttfo_mediana_seg,
    day_totals.evaluation_seconds_median AS tta_mediana_seg,
    day_totals.answer_seconds_median AS ttcd_mediana_seg
FROM kpi_engine.day_totals
-- In the order of the key, REFRESH … CONCURRENTLY finds in one pass that no row is there twice.
ORDER BY day_totals.dia
WITH NO DATA;

CREATE UNIQUE INDEX mv_embudo_operativo_dia ON mv_embudo_operativo (dia);

COMMENT ON MATERIALIZED VIEW mv_embudo_operativo IS
'Embudo operativo / Operational funnel
es: Hasta dónde llegaron las solicitudes de cada día: con ofertas, adjudicadas, aceptadas. Los
días sin solicitudes no aparecen.
en: How far the requests of each local day came: with offers, awarded, accepted. One row per local
day with a request.';
COMMENT ON COLUMN mv_embudo_operativo.dia IS
'Día / Day [fecha, none]
es: Día en que se crearon las solicitudes, en hora local.
en: Local day (zone of the setting time_zone) of solicitudes.created_at.';
COMMENT ON COLUMN mv_embudo_operativo.solicitudes_creadas IS
'Solicitudes creadas / Requests created [conteo, up]
es: Solicitudes que los clientes crearon en el día.
en: Requests created on the day.';
COMMENT ON COLUMN mv_embudo_operativo.solicitudes_con_ofertas IS
'Solicitudes con ofertas / Requests with offers [conteo, up]
es: Solicitudes que recibieron al menos una oferta.
en: Requests with a row in ofertas, whatever its state.';
COMMENT ON COLUMN mv_embudo_operativo.solicitudes_adjudicadas IS
'Solicitudes adjudicadas / Awarded requests [conteo, up]
es: Solicitudes con al menos una oferta alguna vez seleccionada.
en: Requests with an offer that was ever selected, as ofertas_ganadoras of mv_metricas_mensuales.';
COMMENT ON COLUMN mv_embudo_operativo.solicitudes_aceptadas IS
'Solicitudes aceptadas / Accepted requests [conteo, up]
es: Solicitudes en las que el cliente aceptó al menos una oferta.
en: Requests with cliente_acepto true; where it is NULL, estado OFERTAS_ACEPTADAS or ACEPTADA.';
COMMENT ON COLUMN mv_embudo_operativo.solicitudes_rechazadas IS
'Solicitudes rechazadas / Rejected requests [conteo, down]
es: Solicitudes en las que el cliente rechazó las ofertas.
en: Requests with cliente_acepto false; where it is NULL, estado OFERTAS_RECHAZADAS or RECHAZADA.';
COMMENT ON COLUMN mv_embudo_operativo.solicitudes_sin_ofertas IS
'Solicitudes cerradas sin ofertas / Requests closed without offers [conteo, down]
es: Solicitudes que se cerraron sin recibir ninguna oferta.
en: Requests with estado CERRADA_SIN_OFERTAS.';
COMMENT ON COLUMN mv_embudo_operativo.solicitudes_abiertas IS
'Solicitudes abiertas / Open requests [conteo, none]
es: Solicitudes del día que siguen abiertas.
en: Requests with estado ABIERTA.';
COMMENT ON COLUMN mv_embudo_operativo.solicitudes_escaladas IS
'Solicitudes escaladas (más allá del nivel 1) / Escalated requests (beyond level 1) [conteo, down]
es: Solicitudes que pasaron del primer nivel de asesores.
en: Requests with a nivel_actual over 1.';
COMMENT ON COLUMN mv_embudo_operativo.conversion_oferta_pct IS
'De creada a con ofertas / From created to with offers [pct, up]
es: De cada 100 solicitudes creadas, cuántas recibieron ofertas.
en: 100 × solicitudes_con_ofertas / solicitudes_creadas.';
COMMENT ON COLUMN mv_embudo_operativo.conversion_adjudicacion_pct IS
'De con ofertas a adjudicada / From with offers to awarded [pct, up]
es: De cada 100 solicitudes con ofertas, cuántas se adjudicaron.
en: 100 × solicitudes_adjudicadas / solicitudes_con_ofertas; 0 over none.';
COMMENT ON COLUMN mv_embudo_operativo.conversion_aceptacion_pct IS
'De adjudicada a aceptada / From awarded to accepted [pct, up, bands 60 over 80]
es: De cada 100 solicitudes adjudicadas, cuántas aceptó el cliente.
en: 100 × (awarded and accepted requests) / solicitudes_adjudicadas; 0 over none.';
COMMENT ON COLUMN mv_embudo_operativo.conversion_general_pct IS
'Conversión general / Overall conversion [pct, up]
es: De cada 100 solicitudes creadas, cuántas aceptó el cliente.
en: 100 × solicitudes_aceptadas / solicitudes_creadas.';
COMMENT ON COLUMN mv_embudo_operativo.tasa_llenado_pct IS
'Tasa de llenado / Fill rate [pct, up]
es: De cada 100 solicitudes creadas, cuántas no se cerraron sin ofertas.
en: 100 × (solicitudes_creadas − solicitudes_sin_ofertas) / solicitudes_creadas.';
COMMENT ON COLUMN mv_embudo_operativo.tasa_escalamiento_pct IS
'Tasa de escalamiento / Escalation rate [pct, down]
es: De cada 100 solicitudes creadas, cuántas pasaron del nivel 1.
en: 100 × solicitudes_escaladas / solicitudes_creadas.';
COMMENT ON COLUMN mv_embudo_operativo.ttfo_promedio_seg IS
'Tiempo hasta la primera oferta (TTFO), promedio
/ Time until the first offer (TTFO), average [segundos, down]
es: Tiempo desde que se crea la solicitud hasta su primera oferta, en promedio.
en: Average seconds from created_at to the earliest created_at of its offers. NULL over none.';
COMMENT ON COLUMN mv_embudo_operativo.ttfo_mediana_seg IS
'Tiempo hasta la primera oferta (TTFO), mediana
/ Time until the first offer (TTFO), median [segundos, down]
es: La mitad de las solicitudes con ofertas tardó menos que esto en recibir la primera.
en: Exact median of the seconds from created_at to the earliest created_at of its offers. NULL
over none.';
COMMENT ON COLUMN mv_embudo_operativo.tta_mediana_seg IS
'Tiempo hasta la adjudicación (TTA), mediana / Time until the award (TTA), median [segundos, down]
es: La mitad de las solicitudes evaluadas tardó menos que esto en evaluarse.
en: Exact median of the seconds from created_at to fecha_evaluacion. NULL over none, and where the
source has no fecha_evaluacion.';
COMMENT ON COLUMN mv_embudo_operativo.ttcd_mediana_seg IS
'Tiempo de decisión del cliente (TTCD), mediana
/ Decision time of the client (TTCD), median [segundos, down]
es: La mitad de los clientes respondió en menos tiempo que esto después de la evaluación.
en: Exact median of the seconds from fecha_evaluacion to fecha_respuesta_cliente. NULL over none,
and where the source has no fecha_evaluacion.';

REVOKE ALL ON mv_embudo_operativo FROM public;
GRANT SELECT ON mv_embudo_operativo TO analytics_lector, analytics_operador;
