-- Segments of advisors as a good hand-written query.
--
-- The baseline of scripts/bench.py: straight from the tables, numbers of the demo (no NaN, no NULL
-- parent).
-- Limits are the defaults.

WITH today AS (SELECT current_setting('bench.today')::date AS today),

activity AS (
    SELECT
        ofertas_historicas.asesor_id,
        max(ofertas_historicas.fecha) AS latest,
        count(*) FILTER (WHERE ofertas_historicas.fecha > today.today - 30) AS recent,
        count(*) FILTER (
            WHERE
            ofertas_historicas.fecha > today.today - 60
            AND ofertas_historicas.fecha <= today.today - 30
        ) AS previous,
        coalesce(
            sum(ofertas_historicas.monto_total) FILTER (WHERE ofertas_historicas.aceptada_cliente),
            0
        ) AS amount
    FROM public.ofertas_historicas
    CROSS JOIN today
    WHERE
        ofertas_historicas.fecha > today.today - 90
        AND ofertas_historicas.fecha <= today.today
    GROUP BY ofertas_historicas.asesor_id
),

accepted AS (
    SELECT
        ofertas.asesor_id,
        sum(ofertas_detalle.precio_unitario * ofertas_detalle.cantidad) AS amount
    FROM public.ofertas
    INNER JOIN public.ofertas_detalle ON ofertas_detalle.oferta_id = ofertas.id
    WHERE ofertas.estado = 'ACEPTADA'
    GROUP BY ofertas.asesor_id
),

advisor AS (
    SELECT
        asesores.id AS asesor_id,
        concat_ws(
            ' ', nullif(usuarios.nombre, ''), nullif(usuarios.apellido, '')
        ) AS asesor_nombre,
        asesores.ciudad::text AS ciudad,
        today.today - activity.latest AS recencia_dias,
        coalesce(activity.recent, 0) AS frecuencia_30d,
        coalesce(activity.previous, 0) AS frecuencia_previa_30d,
        coalesce(activity.amount, 0) AS valor_90d,
        coalesce(accepted.amount, 0) AS valor_historico,
        today.today
        - (asesores.created_at AT TIME ZONE 'America/Bogota')::date AS antiguedad_dias
    FROM public.asesores
    CROSS JOIN today
    INNER JOIN public.usuarios ON usuarios.id = asesores.usuario_id
    LEFT JOIN activity ON activity.asesor_id = asesores.id
    LEFT JOIN accepted ON accepted.asesor_id = asesores.id
    WHERE asesores.estado = 'ACTIVO'
)

SELECT
    advisor.*,
    CASE
        WHEN advisor.antiguedad_dias < 30 THEN 'NUEVO'
        WHEN
            advisor.recencia_dias <= 7
            AND advisor.frecuencia_30d > 10
            AND advisor.valor_90d >= 6000000
            THEN 'ESTRELLA'
        WHEN
            coalesce(advisor.recencia_dias > 30, true) AND advisor.valor_historico >= 6000000
            THEN 'GIGANTE_DORMIDO'
        WHEN advisor.recencia_dias IS NULL THEN 'INACTIVO'
        WHEN
            advisor.frecuencia_previa_30d >= 4
            AND 2 * advisor.frecuencia_30d <= advisor.frecuencia_previa_30d
            THEN 'EN_RIESGO'
        WHEN advisor.recencia_dias <= 7 AND advisor.frecuencia_30d > 10 THEN 'EN_ASCENSO'
        WHEN advisor.recencia_dias <= 14 AND advisor.frecuencia_30d >= 5 THEN 'CONSISTENTE'
        ELSE 'OCASIONAL'
    END AS segmento,
    now() AS calculado_at
FROM advisor
ORDER BY advisor.asesor_id
