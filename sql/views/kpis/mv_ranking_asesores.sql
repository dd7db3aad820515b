-- Advisor ranking, one row per active advisor. Unique key: asesor_id.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.
-- Ranks and percentiles follow from mv_ranking_asesores_base, which decides whether
-- a refresh has something new to publish.

CREATE MATERIALIZED VIEW mv_ranking_asesores AS
SELECT
    advisor.asesor_id,
    advisor.asesor_nombre,
    advisor.asesor_email,
    advisor.ciudad,
    advisor.departamento,
    advisor.punto_venta,
    advisor.confianza,
    advisor.nivel_actual,
    advisor.estado_asesor,
    advisor.actividad_reciente_pct,
    advisor.desempeno_historico_pct,
    advisor.ofertas_historicas_total,
    advisor.ofertas_ganadoras,
    advisor.ofertas_aceptadas_cliente,
    advisor.entregas_exitosas,
    advisor.tiempo_promedio_respuesta_seg,
    advisor.monto_promedio_ofertas,
    advisor.volumen_total_ofertas,
    advisor.confianza_auditada,
    advisor.auditorias_realizadas,
    advisor.ultima_auditoria,
    advisor.notificaciones_recibidas,
    advisor.notificaciones_respondidas,
    advisor.tiempo_promedio_respuesta_notif_seg,
    advisor.tasa_respuesta_pct,
    advisor.tasa_conversion_ofertas_pct,
    advisor.tasa_exito_completo_pct,
    rank() OVER (
        PARTITION BY advisor.ciudad_key COLLATE pg_catalog."C" -- noqa: RF01
        ORDER BY
            advisor.ofertas_ganadoras DESC,
            advisor.tiempo_promedio_respuesta_seg ASC NULLS LAST,
            advisor.confianza DESC NULLS LAST
    ) AS ranking_ciudad,
    rank() OVER (
        ORDER BY
            advisor.ofertas_ganadoras DESC,
            advisor.tiempo_promedio_respuesta_seg ASC NULLS LAST,
            advisor.confianza DESC NULLS LAST
    ) AS ranking_nacional,
    -- percent_rank() is a double: the same quotient, (rank - 1) / (rows - 1), is exact. rank - 1 is
    -- how many have fewer: all but those up to here from the top. So the order of the ranks serves.
    kpi_engine.percentage(
        count(*) OVER (PARTITION BY advisor.ciudad_key COLLATE pg_catalog."C") -- noqa: RF01
        - count(*) OVER (
            PARTITION BY advisor.ciudad_key COLLATE pg_catalog."C" -- noqa: RF01
            ORDER BY advisor.ofertas_ganadoras DESC
        ),
        count(*) OVER (PARTITION BY advisor.ciudad_key COLLATE pg_catalog."C") - 1 -- noqa: RF01
    ) AS percentil_ofertas_ganadoras_ciudad,
    kpi_engine.percentage(
        count(*) OVER () - count(*) OVER (ORDER BY advisor.ofertas_ganadoras DESC),
        count(*) OVER () - 1
    ) AS percentil_ofertas_ganadoras_nacional,
    (
        SELECT view_state.calculated_at
        FROM kpi_engine.view_state
        WHERE view_state.view_name = 'mv_ranking_asesores'
    ) AS calculado_at
FROM kpi_engine.mv_ranking_asesores_base AS advisor
WITH NO DATA;

CREATE UNIQUE INDEX mv_ranking_asesores_asesor_id ON mv_ranking_asesores (asesor_id);
CREATE INDEX mv_ranking_asesores_nacional ON mv_ranking_asesores (ranking_nacional, asesor_id);
CREATE INDEX mv_ranking_asesores_ciudad
ON mv_ranking_asesores (analytics.city_key(ciudad), ranking_ciudad, asesor_id);
CREATE INDEX mv_ranking_asesores_departamento
ON mv_ranking_asesores (departamento, ranking_nacional);
CREATE INDEX mv_ranking_asesores_ofertas_ganadoras
ON mv_ranking_asesores (ofertas_ganadoras DESC, asesor_id);
CREATE INDEX mv_ranking_asesores_tasa_respuesta
ON mv_ranking_asesores (tasa_respuesta_pct DESC, asesor_id);

COMMENT ON MATERIALIZED VIEW mv_ranking_asesores IS
'Ranking de asesores / Advisor ranking
es: Los asesores activos, ordenados por lo que ganaron en los últimos 30 días. Las auditorías
cuentan 90 días.
en: Ranking of the active advisors by what they did in the last 30 local days (audits: 90).
Refreshed by refresh_all_mv(). Names and e-mails are personal data.';
COMMENT ON COLUMN mv_ranking_asesores.asesor_id IS
'Identificador del asesor / Advisor id [texto, none]
es: Identificador único del asesor en la plataforma.
en: Advisor. One row for each advisor with estado ACTIVO and a row in usuarios.';
COMMENT ON COLUMN mv_ranking_asesores.asesor_nombre IS
'Asesor / Advisor [texto, none]
es: Nombre y apellido del asesor. Dato personal.
en: nombre and apellido of the advisor''s user, joined by one space; an empty or NULL part is
skipped. Personal data.';
COMMENT ON COLUMN mv_ranking_asesores.asesor_email IS
'Correo / E-mail [texto, none]
es: Correo electrónico del asesor. Dato personal.
en: E-mail of the advisor''s user; may be NULL. Personal data.';
COMMENT ON COLUMN mv_ranking_asesores.ciudad IS
'Ciudad / City [texto, none, city]
es: Ciudad del asesor, como él la escribió.
en: City, in the advisor''s own spelling; group and filter by analytics.city_key(ciudad).';
COMMENT ON COLUMN mv_ranking_asesores.departamento IS
'Departamento / Department [texto, none, dimension]
es: Departamento del asesor.
en: Department, as stored.';
COMMENT ON COLUMN mv_ranking_asesores.punto_venta IS
'Punto de venta / Shop [texto, none]
es: Punto de venta del asesor.
en: Point of sale, as stored.';
COMMENT ON COLUMN mv_ranking_asesores.confianza IS
'Confianza / Trust [razon, up]
es: Calificación de confianza del asesor, de 1 a 5.
en: Trust score of the advisor, 1 to 5.';
COMMENT ON COLUMN mv_ranking_asesores.nivel_actual IS
'Nivel del asesor / Level of the advisor [conteo, none]
es: Nivel del asesor, de 1 a 5.
en: Level of the advisor, 1 to 5; NULL where the source has no such column.';
COMMENT ON COLUMN mv_ranking_asesores.estado_asesor IS
'Estado / State of the advisor [texto, none]
es: Estado del asesor: ACTIVO.
en: State of the advisor: ACTIVO.';
COMMENT ON COLUMN mv_ranking_asesores.actividad_reciente_pct IS
'Actividad reciente / Recent activity [pct, up]
es: Actividad reciente del asesor, como la calcula la plataforma.
en: Recent activity, in percent, as stored.';
COMMENT ON COLUMN mv_ranking_asesores.desempeno_historico_pct IS
'Desempeño histórico / Past performance [pct, up]
es: Desempeño histórico del asesor, como lo calcula la plataforma.
en: Historical performance, in percent, as stored.';
COMMENT ON COLUMN mv_ranking_asesores.ofertas_historicas_total IS
'Ofertas en los últimos 30 días / Offers of the last 30 days [conteo, up]
es: Ofertas del asesor en los últimos 30 días, hoy incluido.
en: Rows of ofertas_historicas by fecha in the last 30 local days, today included.';
COMMENT ON COLUMN mv_ranking_asesores.ofertas_ganadoras IS
'Ofertas ganadoras en los últimos 30 días / Winning offers, 30 days [conteo, up]
es: Ofertas de los últimos 30 días que fueron seleccionadas.
en: Of the rows of ofertas_historicas_total, adjudicada.';
COMMENT ON COLUMN mv_ranking_asesores.ofertas_aceptadas_cliente IS
'Aceptadas por el cliente, 30 días / Offers that clients accepted (30 days) [conteo, up]
es: Ofertas de los últimos 30 días que el cliente aceptó.
en: Of the rows of ofertas_historicas_total, aceptada_cliente.';
COMMENT ON COLUMN mv_ranking_asesores.entregas_exitosas IS
'Entregas exitosas, 30 días / Successful deliveries, 30 days [conteo, up]
es: Ofertas de los últimos 30 días que se entregaron bien.
en: Of the rows of ofertas_historicas_total, entrega_exitosa.';
COMMENT ON COLUMN mv_ranking_asesores.tiempo_promedio_respuesta_seg IS
'Tiempo promedio de respuesta con oferta / Average response time with an offer [segundos, down]
es: Tiempo que tarda el asesor en responder con una oferta, en promedio.
en: Average tiempo_respuesta_seg of the rows of ofertas_historicas_total, in seconds; 0 means
unknown and is ignored. NULL over none.';
COMMENT ON COLUMN mv_ranking_asesores.monto_promedio_ofertas IS
'Monto promedio de sus ofertas, 30 días / Average amount of an offer, 30 days [COP, up, null]
es: Monto de una oferta del asesor, en promedio.
en: Average monto_total of the rows of ofertas_historicas_total, in pesos. NULL over none.';
COMMENT ON COLUMN mv_ranking_asesores.volumen_total_ofertas IS
'Monto total de sus ofertas, 30 días / Total amount of the offers, 30 days [COP, up]
es: Suma de los montos de las ofertas del asesor.
en: Sum of monto_total of the rows of ofertas_historicas_total, in pesos, exact.';
COMMENT ON COLUMN mv_ranking_asesores.confianza_auditada IS
'Confianza auditada (últimos 90 días) / Audited trust (last 90 days) [razon, up]
es: Puntaje promedio de las auditorías de los últimos 90 días; sin auditorías, la confianza.
en: Average puntaje_confianza of the audits of the last 90 local days, else confianza.';
COMMENT ON COLUMN mv_ranking_asesores.auditorias_realizadas IS
'Auditorías (90 días) / Audits (90 days) [conteo, none]
es: Auditorías al asesor en los últimos 90 días.
en: Audits of the last 90 local days, today included.';
COMMENT ON COLUMN mv_ranking_asesores.ultima_auditoria IS
'Última auditoría / Last audit [instante, none]
es: Fecha y hora de la última auditoría.
en: Latest fecha_revision not after today, of all time; NULL where there is none.';
COMMENT ON COLUMN mv_ranking_asesores.notificaciones_recibidas IS
'Notificaciones recibidas (30 días) / Notifications received, 30 days [conteo, up]
es: Avisos de solicitudes que recibió el asesor.
en: Rows of historial_respuestas_ofertas by local day of fecha_envio in the last 30 days, today
included.';
COMMENT ON COLUMN mv_ranking_asesores.notificaciones_respondidas IS
'Notificaciones respondidas (30 días) / Notifications answered, 30 days [conteo, up]
es: Avisos de solicitudes que respondió el asesor.
en: Of the rows of notificaciones_recibidas, respondio.';
COMMENT ON COLUMN mv_ranking_asesores.tiempo_promedio_respuesta_notif_seg IS
'Tiempo promedio de respuesta a notificaciones
/ Average response time to notifications [segundos, down]
es: Tiempo que tarda el asesor en responder un aviso, en promedio.
en: Average tiempo_respuesta_seg of the answered notifications, in seconds; 0 counts as 0. NULL
over none.';
COMMENT ON COLUMN mv_ranking_asesores.tasa_respuesta_pct IS
'Tasa de respuesta / Response rate [pct, up, bands 60 over 75]
es: De cada 100 avisos recibidos, cuántos respondió el asesor.
en: 100 × notificaciones_respondidas / notificaciones_recibidas; 0 over none.';
COMMENT ON COLUMN mv_ranking_asesores.tasa_conversion_ofertas_pct IS
'Ofertas que ganan, 30 días / Offers that win, 30 days [pct, up]
es: De cada 100 ofertas del asesor, cuántas fueron seleccionadas.
en: 100 × ofertas_ganadoras / ofertas_historicas_total; 0 over none.';
COMMENT ON COLUMN mv_ranking_asesores.tasa_exito_completo_pct IS
'Éxito completo (ganada, aceptada y entregada) / Full success (won, accepted, delivered) [pct, up]
es: De cada 100 ofertas del asesor, cuántas fueron seleccionadas, aceptadas y entregadas bien.
en: 100 × (adjudicada and aceptada_cliente and entrega_exitosa) / ofertas_historicas_total; 0
over none.';
COMMENT ON COLUMN mv_ranking_asesores.ranking_ciudad IS
'Puesto en su ciudad / Rank in the city [conteo, down]
es: Puesto del asesor entre los de su ciudad; el 1 es el mejor.
en: Rank within the city key by ofertas_ganadoras desc, tiempo_promedio_respuesta_seg asc nulls
last, confianza desc nulls last; ties share it.';
COMMENT ON COLUMN mv_ranking_asesores.ranking_nacional IS
'Puesto nacional / Rank nationwide [conteo, down]
es: Puesto del asesor entre todos; el 1 es el mejor.
en: Rank over all advisors, by the order of ranking_ciudad.';
COMMENT ON COLUMN mv_ranking_asesores.percentil_ofertas_ganadoras_ciudad IS
'Percentil en su ciudad / Percentile in the city [pct, up]
es: Porcentaje de los asesores de su ciudad con menos ofertas ganadoras; el mejor está cerca de
100.
en: 100 × percent rank of ofertas_ganadoras within the city key; the best advisor is near 100.';
COMMENT ON COLUMN mv_ranking_asesores.percentil_ofertas_ganadoras_nacional IS
'Percentil nacional / Percentile nationwide [pct, up]
es: Porcentaje de todos los asesores con menos ofertas ganadoras; el mejor está cerca de 100.
en: 100 × percent rank of ofertas_ganadoras over all advisors; the best advisor is near 100.';
COMMENT ON COLUMN mv_ranking_asesores.calculado_at IS
'Calculado / Computed at [instante, none]
es: Momento en que se calcularon estos datos.
en: The refresh that computed these contents, one value for all rows; it stays when a later
refresh finds nothing to change.';

REVOKE ALL ON mv_ranking_asesores FROM public;
GRANT SELECT ON mv_ranking_asesores TO analytics_lector, analytics_operador;
