-- Demand by local month and city of the request. Unique key: mes, ciudad_key.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.

CREATE MATERIALIZED VIEW mv_demanda_ciudades AS
SELECT
    month_ciudades.mes,
    month_ciudades.ciudad_key,
    month_ciudades.ciudad,
    month_ciudades.requests AS solicitudes,
    month_ciudades.requests_with_offers AS solicitudes_con_ofertas,
    month_ciudades.requests_accepted AS solicitudes_aceptadas,
    month_ciudades.offers AS ofertas,
    month_ciudades.asesores AS asesores_activos,
    month_ciudades.offered_pct AS conversion_oferta_pct,
    month_ciudades.accepted_pct AS tasa_aceptacion_pct,
    month_ciudades.offers_per_request AS ofertas_por_solicitud,
    month_ciudades.awarded_accepted_amount AS valor_bruto_aceptado,
    month_ciudades.first_offer_seconds_median AS ttfo_mediana_seg
FROM kpi_engine.month_ciudades
-- In the order of the key, REFRESH … CONCURRENTLY finds in one pass that no row is there twice.
ORDER BY month_ciudades.mes, month_ciudades.ciudad_key COLLATE "C" -- noqa: RF02, RF03
WITH NO DATA;

CREATE UNIQUE INDEX mv_demanda_ciudades_mes_ciudad_key ON mv_demanda_ciudades (mes, ciudad_key);
CREATE INDEX mv_demanda_ciudades_ciudad_key ON mv_demanda_ciudades (ciudad_key, mes);

COMMENT ON MATERIALIZED VIEW mv_demanda_ciudades IS
'Demanda por ciudad / Demand by city
es: Qué se pidió en cada mes y ciudad, y cómo se atendió. Las solicitudes sin ciudad no cuentan.
en: What was asked for in each local month and city of the request, and how it was served.
Requests without a city are left out; where the source has no ciudad_origen there is no row.';
COMMENT ON COLUMN mv_demanda_ciudades.mes IS
'Mes / Month [fecha, none]
es: Primer día del mes, en hora local.
en: First day of the local month (zone of the setting time_zone) of solicitudes.created_at.';
COMMENT ON COLUMN mv_demanda_ciudades.ciudad_key IS
'Clave de la ciudad / City key [texto, none]
es: La ciudad sin tildes y en mayúsculas: todas sus formas de escribirla son una.
en: City key of solicitudes.ciudad_origen: analytics.city_key().';
COMMENT ON COLUMN mv_demanda_ciudades.ciudad IS
'Ciudad / City [texto, none, city]
es: La forma más frecuente de escribir la ciudad entre las solicitudes.
en: The most frequent spelling of ciudad_origen, as stored; of equally frequent ones the first in
byte order.';
COMMENT ON COLUMN mv_demanda_ciudades.solicitudes IS
'Solicitudes creadas / Requests created [conteo, up]
es: Solicitudes del mes en la ciudad.
en: Requests of the month in the city.';
COMMENT ON COLUMN mv_demanda_ciudades.solicitudes_con_ofertas IS
'Solicitudes con ofertas / Requests with offers [conteo, up]
es: Solicitudes que recibieron al menos una oferta.
en: Requests with a row in ofertas, whatever its state.';
COMMENT ON COLUMN mv_demanda_ciudades.solicitudes_aceptadas IS
'Solicitudes aceptadas / Accepted requests [conteo, up]
es: Solicitudes en las que el cliente aceptó al menos una oferta.
en: Requests with cliente_acepto true; where it is NULL, estado OFERTAS_ACEPTADAS or ACEPTADA.';
COMMENT ON COLUMN mv_demanda_ciudades.ofertas IS
'Ofertas / Offers [conteo, up]
es: Ofertas que los asesores hicieron a estas solicitudes.
en: Offers for these requests, whenever they were made.';
COMMENT ON COLUMN mv_demanda_ciudades.asesores_activos IS
'Asesores activos (con al menos una oferta) / Active advisors (with an offer or more) [conteo, up]
es: Asesores distintos que ofertaron a estas solicitudes.
en: Distinct advisors with an offer for these requests.';
COMMENT ON COLUMN mv_demanda_ciudades.conversion_oferta_pct IS
'De creada a con ofertas / From created to with offers [pct, up]
es: De cada 100 solicitudes, cuántas recibieron ofertas.
en: 100 × solicitudes_con_ofertas / solicitudes.';
COMMENT ON COLUMN mv_demanda_ciudades.tasa_aceptacion_pct IS
'Tasa de aceptación / Acceptance rate [pct, up]
es: De cada 100 solicitudes, cuántas aceptó el cliente.
en: 100 × solicitudes_aceptadas / solicitudes.';
COMMENT ON COLUMN mv_demanda_ciudades.ofertas_por_solicitud IS
'Ofertas por solicitud / Offers per request [razon, up]
es: Ofertas que recibe una solicitud, en promedio.
en: ofertas / solicitudes.';
COMMENT ON COLUMN mv_demanda_ciudades.valor_bruto_aceptado IS
'Valor bruto aceptado / Accepted value [COP, up]
es: Valor de los repuestos adjudicados que el cliente aceptó.
en: Sum of precio_unitario × cantidad over the awarded lines of offers in estado ACEPTADA, in
pesos, exact.';
COMMENT ON COLUMN mv_demanda_ciudades.ttfo_mediana_seg IS
'Tiempo hasta la primera oferta (TTFO), mediana
/ Time until the first offer (TTFO), median [segundos, down]
es: La mitad de las solicitudes con ofertas tardó menos que esto en recibir la primera.
en: Exact median of the seconds from created_at to the earliest created_at of its offers. NULL
over none.';

REVOKE ALL ON mv_demanda_ciudades FROM public;
GRANT SELECT ON mv_demanda_ciudades TO analytics_lector, analytics_operador;
