-- Balance of supply and demand, one row per local week with a request. Unique key: semana.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.

CREATE MATERIALIZED VIEW mv_salud_marketplace AS
WITH registered AS (
    SELECT
        week_totals.semana,
        coalesce(sum(week_registrations.asesores), 0)::bigint AS asesores
    FROM kpi_engine.week_totals
    LEFT JOIN kpi_engine.week_registrations
        ON week_registrations.semana <= week_totals.semana
    GROUP BY week_totals.semana
)

SELECT
    week_totals.semana,
    week_totals.requests AS solicitudes_creadas,
    week_totals.requests_with_offers AS solicitudes_con_ofertas,
    week_totals.offers::bigint AS ofertas_totales,
    week_totals.asesores AS asesores_activos,
    registered.asesores AS asesores_registrados,
    kpi_engine.rounded_quotient(week_totals.requests, 7) AS solicitudes_diarias,
    coalesce(
        kpi_engine.rounded_quotient(7 * week_totals.asesores, week_totals.requests), 0.00
    ) AS ratio_oferta_demanda,
    coalesce(
        kpi_engine.rounded_quotient(week_totals.offers, week_totals.requests_with_offers), 0.00
    ) AS densidad_ofertas,
    kpi_engine.percentage(week_totals.asesores, registered.asesores) AS tasa_participacion_pct,
    kpi_engine.rounded_quotient(
        week_totals.win_rate_sum, week_totals.asesores
    ) AS tasa_adjudicacion_promedio_pct,
    round(week_totals.win_rate_median, 2) AS tasa_adjudicacion_mediana_pct,
    kpi_engine.percentage(
        week_totals.offers_accepted, week_totals.offers_won
    ) AS tasa_aceptacion_cliente_pct
FROM kpi_engine.week_totals
INNER JOIN registered ON registered.semana = week_totals.semana
WITH NO DATA;

CREATE UNIQUE INDEX mv_salud_marketplace_semana ON mv_salud_marketplace (semana);

COMMENT ON MATERIALIZED VIEW mv_salud_marketplace IS
'Salud del marketplace / Marketplace health
es: El equilibrio entre oferta y demanda de cada semana, de lunes a domingo. Las ofertas cuentan
en la semana de su solicitud.
en: Balance of supply and demand of each local week, Monday to Sunday. Offers belong to the week
of their request.';
COMMENT ON COLUMN mv_salud_marketplace.semana IS
'Semana / Week [fecha, none]
es: Lunes de la semana, en hora local.
en: Monday of the local week (zone of the setting time_zone) of solicitudes.created_at.';
COMMENT ON COLUMN mv_salud_marketplace.solicitudes_creadas IS
'Solicitudes creadas / Requests created [conteo, up, sum mv_embudo_operativo.solicitudes_creadas]
es: Solicitudes que los clientes crearon en la semana.
en: Requests created in the week.';
COMMENT ON COLUMN mv_salud_marketplace.solicitudes_con_ofertas IS
'Solicitudes con ofertas
/ Requests with offers [conteo, up, sum mv_embudo_operativo.solicitudes_con_ofertas]
es: Solicitudes que recibieron al menos una oferta.
en: Requests with a row in ofertas, whatever its state.';
COMMENT ON COLUMN mv_salud_marketplace.ofertas_totales IS
'Ofertas / Offers [conteo, up]
es: Ofertas que los asesores hicieron a las solicitudes de la semana.
en: Offers for the requests of the week, whenever they were made.';
COMMENT ON COLUMN mv_salud_marketplace.asesores_activos IS
'Asesores activos (con al menos una oferta) / Active advisors (with an offer or more) [conteo, up]
es: Asesores distintos que ofertaron a las solicitudes de la semana.
en: Distinct advisors with an offer for a request of the week.';
COMMENT ON COLUMN mv_salud_marketplace.asesores_registrados IS
'Asesores registrados / Registered advisors [conteo, up, whole, null]
es: Asesores que ya estaban registrados al final de la semana, activos o no.
en: Rows of asesores whose local day of created_at is not after the Sunday, whatever their estado
now; an unknown one counts.';
COMMENT ON COLUMN mv_salud_marketplace.solicitudes_diarias IS
'Solicitudes por día / Requests per day [razon, up]
es: Solicitudes de la semana divididas por 7, también en la semana en curso.
en: solicitudes_creadas / 7, in the running week too.';
COMMENT ON COLUMN mv_salud_marketplace.ratio_oferta_demanda IS
'Oferta sobre demanda: asesores activos por solicitud diaria
/ Active advisors per daily request [razon, none, bands 10 15 25 30]
es: Asesores activos por cada solicitud diaria.
en: 7 × asesores_activos / solicitudes_creadas.';
COMMENT ON COLUMN mv_salud_marketplace.densidad_ofertas IS
'Densidad de ofertas (por solicitud con ofertas)
/ Offers per request with offers [razon, up, bands 2 from 3]
es: Ofertas que recibe una solicitud con ofertas, en promedio.
en: ofertas_totales / solicitudes_con_ofertas; 0 over none.';
COMMENT ON COLUMN mv_salud_marketplace.tasa_participacion_pct IS
'Participación de asesores / Advisors who take part [pct, up, whole, bands 50 over 70]
es: De cada 100 asesores registrados, cuántos ofertaron en la semana.
en: 100 × asesores_activos / asesores_registrados; over 100 where advisors were deleted.';
COMMENT ON COLUMN mv_salud_marketplace.tasa_adjudicacion_promedio_pct IS
'Tasa de adjudicación del asesor, promedio
/ Win rate of an advisor, average [pct, none, null, bands 15 20 35 40]
es: De cada 100 ofertas de un asesor, cuántas ganan: promedio de los asesores activos.
en: Average over the active advisors of 100 × won / offers of the week, each with 2 decimals. NULL
over none.';
COMMENT ON COLUMN mv_salud_marketplace.tasa_adjudicacion_mediana_pct IS
'Tasa de adjudicación del asesor, mediana / Win rate of an advisor, median [pct, none, null]
es: De cada 100 ofertas de un asesor, cuántas ganan: la mitad de los asesores activos tiene menos.
en: Exact median over the active advisors of 100 × won / offers of the week, each with 2 decimals.
NULL over none.';
COMMENT ON COLUMN mv_salud_marketplace.tasa_aceptacion_cliente_pct IS
'Ofertas ganadoras que el cliente acepta
/ Winning offers that the client accepts [pct, up, bands 60 over 80]
es: De cada 100 ofertas ganadoras, cuántas aceptó el cliente.
en: 100 × offers in estado ACEPTADA / won offers; 0 over none.';

REVOKE ALL ON mv_salud_marketplace FROM public;
GRANT SELECT ON mv_salud_marketplace TO analytics_lector, analytics_operador;
