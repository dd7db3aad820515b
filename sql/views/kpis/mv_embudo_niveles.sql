-- Where the escalation fails, one row per local month and level. Unique key: mes, nivel.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.

CREATE MATERIALIZED VIEW mv_embudo_niveles AS
SELECT
    month_niveles.mes,
    month_niveles.nivel,
    month_niveles.requests AS solicitudes,
    month_niveles.requests_with_offers AS solicitudes_con_ofertas,
    month_niveles.requests_accepted AS solicitudes_aceptadas,
    kpi_engine.percentage(
        month_niveles.requests - month_niveles.requests_with_offers, month_niveles.requests
    ) AS tasa_fallo_pct,
    kpi_engine.percentage(
        month_niveles.requests_accepted, month_niveles.requests
    ) AS tasa_aceptacion_pct,
    round(month_niveles.first_offer_seconds_median, 2) AS ttfo_mediana_seg
FROM kpi_engine.month_niveles
WITH NO DATA;

CREATE UNIQUE INDEX mv_embudo_niveles_mes_nivel ON mv_embudo_niveles (mes, nivel);

COMMENT ON MATERIALIZED VIEW mv_embudo_niveles IS
'Fallo por nivel / Failure by level
es: Cuántas solicitudes de cada mes y nivel de escalamiento se quedaron sin ofertas. Las
solicitudes sin nivel no cuentan.
en: How many requests of each local month and level of escalation got no offer. Requests without a
level are left out.';
COMMENT ON COLUMN mv_embudo_niveles.mes IS
'Mes / Month [fecha, none]
es: Primer día del mes, en hora local.
en: First day of the local month (zone of the setting time_zone) of solicitudes.created_at.';
COMMENT ON COLUMN mv_embudo_niveles.nivel IS
'Nivel de escalamiento / Level of escalation [conteo, none]
es: Nivel de asesores al que llegó la solicitud.
en: solicitudes.nivel_actual.';
COMMENT ON COLUMN mv_embudo_niveles.solicitudes IS
'Solicitudes creadas / Requests created [conteo, up]
es: Solicitudes del mes que están en este nivel.
en: Requests of the month at this level.';
COMMENT ON COLUMN mv_embudo_niveles.solicitudes_con_ofertas IS
'Solicitudes con ofertas / Requests with offers [conteo, up]
es: Solicitudes que recibieron al menos una oferta.
en: Requests with a row in ofertas, whatever its state.';
COMMENT ON COLUMN mv_embudo_niveles.solicitudes_aceptadas IS
'Solicitudes aceptadas / Accepted requests [conteo, up]
es: Solicitudes en las que el cliente aceptó al menos una oferta.
en: Requests with cliente_acepto true; where it is NULL, estado OFERTAS_ACEPTADAS or ACEPTADA.';
COMMENT ON COLUMN mv_embudo_niveles.tasa_fallo_pct IS
'Tasa de fallo (sin ofertas) / Failure rate (no offers) [pct, down]
es: De cada 100 solicitudes, cuántas no recibieron ofertas.
en: 100 × (solicitudes − solicitudes_con_ofertas) / solicitudes.';
COMMENT ON COLUMN mv_embudo_niveles.tasa_aceptacion_pct IS
'Tasa de aceptación / Acceptance rate [pct, up]
es: De cada 100 solicitudes, cuántas aceptó el cliente.
en: 100 × solicitudes_aceptadas / solicitudes.';
COMMENT ON COLUMN mv_embudo_niveles.ttfo_mediana_seg IS
'Tiempo hasta la primera oferta (TTFO), mediana
/ Time until the first offer (TTFO), median [segundos, down]
es: La mitad de las solicitudes con ofertas tardó menos que esto en recibir la primera.
en: Exact median of the seconds from created_at to the earliest created_at of its offers. NULL
over none.';

REVOKE ALL ON mv_embudo_niveles FROM public;
GRANT SELECT ON mv_embudo_niveles TO analytics_lector, analytics_operador;
