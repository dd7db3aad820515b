-- Monthly KPIs, one row per local month of the request. Unique key: mes.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.

CREATE MATERIALIZED VIEW mv_metricas_mensuales AS
WITH calendar AS (
    SELECT
        generate_series(
            min(month_totals.mes)::timestamp, max(month_totals.mes)::timestamp, interval '1 month'
        )::date AS mes
    FROM kpi_engine.month_totals
    WHERE isfinite(month_totals.mes)
)

SELECT
    calendar.mes,
    coalesce(month_totals.requests, 0) AS solicitudes_creadas,
    coalesce(month_totals.requests_accepted, 0) AS solicitudes_aceptadas,
    coalesce(month_totals.requests_rejected, 0) AS solicitudes_rechazadas,
    coalesce(month_totals.requests_expired, 0) AS solicitudes_expiradas,
    coalesce(month_totals.requests_without_offers, 0) AS solicitudes_sin_ofertas,
    kpi_engine.rounded_quotient(
        month_totals.closing_seconds_sum, month_totals.closing_seconds_count
    ) AS tiempo_promedio_cierre_seg,
    coalesce(month_totals.offers, 0) AS ofertas_totales,
    coalesce(month_totals.offers_won, 0) AS ofertas_ganadoras,
    coalesce(month_totals.offers_accepted, 0) AS ofertas_aceptadas,
    kpi_engine.rounded_quotient(
        month_totals.price_sum, month_totals.price_count
    ) AS precio_promedio_ofertas,
    month_totals.price_minimum AS precio_minimo_ofertas,
    month_totals.price_maximum AS precio_maximo_ofertas,
    kpi_engine.rounded_quotient(
        month_totals.delivery_days_sum, month_totals.delivery_days_count
    ) AS tiempo_entrega_promedio,
    kpi_engine.rounded_quotient(
        month_totals.warranty_months_sum, month_totals.warranty_months_count
    ) AS garantia_promedio_meses,
    coalesce(month_distinct_counts.clientes, 0) AS clientes_activos,
    coalesce(month_distinct_counts.asesores, 0) AS asesores_activos,
    coalesce(month_distinct_counts.marcas, 0) AS marcas_vehiculos_solicitadas,
    coalesce(month_totals.accepted_amount, 0) AS volumen_transaccional_total,
    kpi_engine.percentage(
        month_totals.requests_accepted, month_totals.requests
    ) AS tasa_aceptacion_pct,
    kpi_engine.percentage(
        month_totals.offers_won, month_totals.offers
    ) AS tasa_conversion_ofertas_pct,
    coalesce(
        kpi_engine.rounded_quotient(month_totals.offers, month_totals.requests), 0.00
    ) AS ofertas_promedio_por_solicitud
FROM calendar
LEFT JOIN kpi_engine.month_totals ON month_totals.mes = calendar.mes
LEFT JOIN kpi_engine.month_distinct_counts ON month_distinct_counts.mes = calendar.mes
WITH NO DATA;

CREATE UNIQUE INDEX mv_metricas_mensuales_mes ON mv_metricas_mensuales (mes);

COMMENT ON MATERIALIZED VIEW mv_metricas_mensuales IS
'Métricas mensuales / Monthly metrics
es: Los indicadores de cada mes, contados por el mes en que se creó la solicitud. Las ofertas y
los repuestos cuentan en el mes de su solicitud.
en: Monthly KPIs of the marketplace, one row per local month. A cohort view: offers, lines and
parts belong to the month of their request. Refreshed by refresh_all_mv().';
COMMENT ON COLUMN mv_metricas_mensuales.mes IS
'Mes / Month [fecha, none]
es: Primer día del mes, en hora local.
en: First day of the local month (zone of the setting time_zone) of solicitudes.created_at. One
row for each month from the first to the last with a request.';
COMMENT ON COLUMN mv_metricas_mensuales.solicitudes_creadas IS
'Solicitudes creadas / Requests created [conteo, up, sum mv_embudo_operativo.solicitudes_creadas]
es: Solicitudes que los clientes crearon en el mes.
en: Requests created in the month.';
COMMENT ON COLUMN mv_metricas_mensuales.solicitudes_aceptadas IS
'Solicitudes aceptadas
/ Accepted requests [conteo, up, sum mv_embudo_operativo.solicitudes_aceptadas]
es: Solicitudes en las que el cliente aceptó al menos una oferta.
en: Requests with cliente_acepto true; where it is NULL, estado OFERTAS_ACEPTADAS or ACEPTADA.';
COMMENT ON COLUMN mv_metricas_mensuales.solicitudes_rechazadas IS
'Solicitudes rechazadas
/ Rejected requests [conteo, down, sum mv_embudo_operativo.solicitudes_rechazadas]
es: Solicitudes en las que el cliente rechazó las ofertas.
en: Requests with cliente_acepto false; where it is NULL, estado OFERTAS_RECHAZADAS or RECHAZADA.';
COMMENT ON COLUMN mv_metricas_mensuales.solicitudes_expiradas IS
'Solicitudes expiradas (incluye las cerradas sin ofertas)
/ Expired requests (with those closed without offers) [conteo, down]
es: Solicitudes que terminaron sin ofertas o porque se acabó el plazo.
en: Requests with estado EXPIRADA or CERRADA_SIN_OFERTAS: ended without offers or by time-out.';
COMMENT ON COLUMN mv_metricas_mensuales.solicitudes_sin_ofertas IS
'Solicitudes cerradas sin ofertas
/ Requests closed without offers [conteo, down, sum mv_embudo_operativo.solicitudes_sin_ofertas]
es: Solicitudes que se cerraron sin recibir ninguna oferta.
en: Requests with estado CERRADA_SIN_OFERTAS.';
COMMENT ON COLUMN mv_metricas_mensuales.tiempo_promedio_cierre_seg IS
'Tiempo promedio de cierre / Average time until closing [segundos, down]
es: Tiempo promedio desde que se crea la solicitud hasta que se cierra. Solo cuentan las
solicitudes cerradas.
en: Average seconds from created_at to fecha_respuesta_cliente (updated_at where that is NULL),
over closed requests. NULL over none.';
COMMENT ON COLUMN mv_metricas_mensuales.ofertas_totales IS
'Ofertas / Offers [conteo, up]
es: Ofertas que los asesores hicieron a las solicitudes del mes.
en: Offers for the requests of the month, whenever they were made.';
COMMENT ON COLUMN mv_metricas_mensuales.ofertas_ganadoras IS
'Ofertas ganadoras (alguna vez seleccionadas) / Winning offers [conteo, up]
es: Ofertas que alguna vez fueron seleccionadas, también si después el cliente las rechazó.
en: Offers that were ever selected: estado GANADORA or ACEPTADA, or with a row in
adjudicaciones_repuesto.';
COMMENT ON COLUMN mv_metricas_mensuales.ofertas_aceptadas IS
'Ofertas aceptadas por el cliente / Offers that clients accepted [conteo, up]
es: Ofertas que el cliente aceptó.
en: Offers with estado ACEPTADA.';
COMMENT ON COLUMN mv_metricas_mensuales.precio_promedio_ofertas IS
'Precio promedio por repuesto / Average price of a part [COP, none, null]
es: Precio promedio de un repuesto en las ofertas.
en: Average precio_unitario of the offer lines, in pesos. NULL over none.';
COMMENT ON COLUMN mv_metricas_mensuales.precio_minimo_ofertas IS
'Precio mínimo por repuesto / Lowest price of a part [COP, none, null]
es: Precio más bajo de un repuesto en las ofertas.
en: Lowest precio_unitario of the offer lines, in pesos. NULL over none.';
COMMENT ON COLUMN mv_metricas_mensuales.precio_maximo_ofertas IS
'Precio máximo por repuesto / Highest price of a part [COP, none, null]
es: Precio más alto de un repuesto en las ofertas.
en: Highest precio_unitario of the offer lines, in pesos. NULL over none.';
COMMENT ON COLUMN mv_metricas_mensuales.tiempo_entrega_promedio IS
'Entrega prometida, promedio / Promised delivery, average [dias, down]
es: Días de entrega que prometen las ofertas, en promedio.
en: Average tiempo_entrega_dias of the offers, in days. NULL over none.';
COMMENT ON COLUMN mv_metricas_mensuales.garantia_promedio_meses IS
'Garantía promedio / Average warranty [meses, up]
es: Meses de garantía que ofrecen los repuestos ofertados, en promedio.
en: Average garantia_meses of the offer lines, in months. NULL over none.';
COMMENT ON COLUMN mv_metricas_mensuales.clientes_activos IS
'Clientes activos / Active clients [conteo, up]
es: Clientes distintos que crearon una solicitud.
en: Distinct clients with a request.';
COMMENT ON COLUMN mv_metricas_mensuales.asesores_activos IS
'Asesores activos (con al menos una oferta) / Active advisors (with an offer or more) [conteo, up]
es: Asesores distintos que ofertaron a las solicitudes del mes.
en: Distinct advisors with an offer for a request of the month.';
COMMENT ON COLUMN mv_metricas_mensuales.marcas_vehiculos_solicitadas IS
'Marcas de vehículo solicitadas / Vehicle makes requested [conteo, none]
es: Marcas de vehículo distintas entre los repuestos solicitados.
en: Distinct vehicle brands of the requested parts, trimmed and upper-cased; empty ones ignored.';
COMMENT ON COLUMN mv_metricas_mensuales.volumen_transaccional_total IS
'Volumen transaccional (ofertas aceptadas completas)
/ Transaction volume (offers accepted in full) [COP, up]
es: Valor de todos los repuestos de las ofertas aceptadas.
en: Sum of precio_unitario × cantidad over the lines of accepted offers (estado ACEPTADA), in
pesos, exact.';
COMMENT ON COLUMN mv_metricas_mensuales.tasa_aceptacion_pct IS
'Tasa de aceptación / Acceptance rate [pct, up]
es: De cada 100 solicitudes creadas, cuántas aceptó el cliente.
en: 100 × solicitudes_aceptadas / solicitudes_creadas; 0 over none.';
COMMENT ON COLUMN mv_metricas_mensuales.tasa_conversion_ofertas_pct IS
'Ofertas que ganan / Offers that win [pct, up]
es: De cada 100 ofertas, cuántas fueron seleccionadas.
en: 100 × ofertas_ganadoras / ofertas_totales; 0 over none.';
COMMENT ON COLUMN mv_metricas_mensuales.ofertas_promedio_por_solicitud IS
'Ofertas por solicitud / Offers per request [razon, up]
es: Ofertas que recibe una solicitud, en promedio.
en: ofertas_totales / solicitudes_creadas; 0 over none.';

REVOKE ALL ON mv_metricas_mensuales FROM public;
GRANT SELECT ON mv_metricas_mensuales TO analytics_lector, analytics_operador;
