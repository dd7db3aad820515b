-- What to do about each active advisor: recency, frequency, value. Unique key: asesor_id.
--
-- Its own name and its indexes' are written without a schema: make migrate builds it
-- aside and moves it into schema analytics, so that readers of an earlier one don't wait.
-- Follows the date: it is published again on each new local day. The first rule that holds decides.

CREATE MATERIALIZED VIEW mv_segmentos_asesores AS
SELECT
    advisor.asesor_id,
    advisor.asesor_nombre,
    advisor.ciudad,
    advisor.recencia_dias,
    advisor.frecuencia_30d,
    advisor.frecuencia_previa_30d,
    advisor.valor_90d,
    advisor.valor_historico,
    advisor.antiguedad_dias,
    CASE
        WHEN advisor.antiguedad_dias < segment_limits.new_days THEN 'NUEVO'
        WHEN
            advisor.recencia_dias <= segment_limits.recent_days
            AND advisor.frecuencia_30d > segment_limits.active_offers
            AND advisor.valor_90d >= segment_limits.star_value
            THEN 'ESTRELLA'
        WHEN
            coalesce(advisor.recencia_dias > segment_limits.dormant_days, true)
            AND advisor.valor_historico >= segment_limits.dormant_value
            THEN 'GIGANTE_DORMIDO'
        WHEN advisor.recencia_dias IS NULL THEN 'INACTIVO'
        WHEN
            advisor.frecuencia_previa_30d >= segment_limits.risk_offers
            AND 2 * advisor.frecuencia_30d <= advisor.frecuencia_previa_30d
            THEN 'EN_RIESGO'
        WHEN
            advisor.recencia_dias <= segment_limits.recent_days
            AND advisor.frecuencia_30d > segment_limits.active_offers
            THEN 'EN_ASCENSO'
        WHEN
            advisor.recencia_dias <= segment_limits.steady_days
            AND advisor.frecuencia_30d >= segment_limits.steady_offers
            THEN 'CONSISTENTE'
        ELSE 'OCASIONAL'
    END AS segmento,
    advisor.calculado_at
FROM (
    SELECT
        asesor_facts.asesor_id,
        asesor_facts.nombre AS asesor_nombre,
        asesor_facts.ciudad,
        published.today - asesor_activity.latest_day AS recencia_dias,
        coalesce(asesor_totals.offers, 0) AS frecuencia_30d,
        coalesce(asesor_activity.offers_before, 0) AS frecuencia_previa_30d,
        coalesce(asesor_activity.accepted_amount, 0) AS valor_90d,
        coalesce(asesor_accepted.accepted_amount, 0) AS valor_historico,
        published.today - asesor_facts.registered_on AS antiguedad_dias,
        published.calculated_at AS calculado_at
    FROM kpi_engine.asesor_facts
    INNER JOIN kpi_engine.view_state AS published
        ON published.view_name = 'mv_segmentos_asesores'
    LEFT JOIN kpi_engine.asesor_totals ON asesor_totals.asesor_id = asesor_facts.asesor_id
    LEFT JOIN kpi_engine.asesor_activity ON asesor_activity.asesor_id = asesor_facts.asesor_id
    LEFT JOIN kpi_engine.asesor_accepted ON asesor_accepted.asesor_id = asesor_facts.asesor_id
    WHERE asesor_facts.estado = 'ACTIVO' AND asesor_facts.has_usuario
) AS advisor
CROSS JOIN kpi_engine.segment_limits
-- In the order of the key, REFRESH … CONCURRENTLY finds in one pass that no row is there twice.
ORDER BY advisor.asesor_id
WITH NO DATA;

CREATE UNIQUE INDEX mv_segmentos_asesores_asesor_id ON mv_segmentos_asesores (asesor_id);
CREATE INDEX mv_segmentos_asesores_segmento ON mv_segmentos_asesores (segmento, asesor_id);

COMMENT ON MATERIALIZED VIEW mv_segmentos_asesores IS
'Segmentos de asesores / Advisor segments
es: Los asesores activos, agrupados por lo reciente, frecuente y valioso de su actividad, para
saber qué hacer con cada uno.
en: The active advisors by recency, frequency and value, and a segment to act on. Names are
personal data.';
COMMENT ON COLUMN mv_segmentos_asesores.asesor_id IS
'Identificador del asesor / Advisor id [texto, none]
es: Identificador único del asesor en la plataforma.
en: Advisor. One row for each advisor with estado ACTIVO and a row in usuarios, as in
mv_ranking_asesores.';
COMMENT ON COLUMN mv_segmentos_asesores.asesor_nombre IS
'Asesor / Advisor [texto, none]
es: Nombre y apellido del asesor. Dato personal.
en: nombre and apellido of the advisor''s user, joined by one space; an empty or NULL part is
skipped. Personal data.';
COMMENT ON COLUMN mv_segmentos_asesores.ciudad IS
'Ciudad / City [texto, none, city]
es: Ciudad del asesor, como él la escribió.
en: City, in the advisor''s own spelling; group and filter by analytics.city_key(ciudad).';
COMMENT ON COLUMN mv_segmentos_asesores.recencia_dias IS
'Días desde la última oferta / Days since the last offer [dias, down]
es: Días desde su última oferta de los últimos 90 días; sin dato si no hay ninguna.
en: Today minus the latest ofertas_historicas.fecha of the last 90 local days; NULL where there is
none.';
COMMENT ON COLUMN mv_segmentos_asesores.frecuencia_30d IS
'Ofertas en los últimos 30 días / Offers of the last 30 days [conteo, up]
es: Ofertas del asesor en los últimos 30 días, hoy incluido.
en: Rows of ofertas_historicas by fecha in the last 30 local days, today included.';
COMMENT ON COLUMN mv_segmentos_asesores.frecuencia_previa_30d IS
'Ofertas en los 30 días anteriores / Offers of the 30 days before [conteo, none]
es: Ofertas del asesor en los 30 días anteriores a los últimos 30.
en: Rows of ofertas_historicas by fecha in the 30 local days before the last 30.';
COMMENT ON COLUMN mv_segmentos_asesores.valor_90d IS
'Valor aceptado en 90 días / Accepted value in 90 days [COP, up]
es: Valor de sus ofertas de los últimos 90 días que el cliente aceptó.
en: Sum of monto_total of the rows of ofertas_historicas with aceptada_cliente in the last 90
local days, in pesos.';
COMMENT ON COLUMN mv_segmentos_asesores.valor_historico IS
'Valor aceptado histórico / Accepted value in all time [COP, up]
es: Valor de todas sus ofertas que el cliente aceptó, de siempre.
en: Sum of precio_unitario × cantidad over all lines of the offers in estado ACEPTADA whose
request has a month, in pesos, of all time.';
COMMENT ON COLUMN mv_segmentos_asesores.antiguedad_dias IS
'Días en la plataforma / Days on the platform [dias, none]
es: Días desde que el asesor se registró.
en: Today minus the local day of asesores.created_at; NULL where that is not known.';
COMMENT ON COLUMN mv_segmentos_asesores.segmento IS
'Segmento / Segment [texto, none, dimension]
es: Grupo del asesor: NUEVO, ESTRELLA, GIGANTE_DORMIDO, INACTIVO, EN_RIESGO, EN_ASCENSO,
CONSISTENTE u OCASIONAL.
en: NUEVO, ESTRELLA, GIGANTE_DORMIDO, INACTIVO, EN_RIESGO, EN_ASCENSO, CONSISTENTE or OCASIONAL:
the first whose rule holds, by the settings segment_….';
COMMENT ON COLUMN mv_segmentos_asesores.calculado_at IS
'Calculado / Computed at [instante, none]
es: Momento en que se calcularon estos datos.
en: The refresh that computed these contents, one value for all rows; it stays when a later
refresh finds nothing to change.';

REVOKE ALL ON mv_segmentos_asesores FROM public;
GRANT SELECT ON mv_segmentos_asesores TO analytics_lector, analytics_operador;
