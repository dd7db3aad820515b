-- Naive: growth against the row before, and a running total of all years.
--
-- Wrong: months without an accepted request have no row here, so the row before is not the month
-- before; and a year begins with January.

WITH months AS (
    SELECT
        date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
        sum(ofertas_detalle.precio_unitario * ofertas_detalle.cantidad) AS aceptado
    FROM public.solicitudes
    INNER JOIN public.ofertas
        ON ofertas.solicitud_id = solicitudes.id AND ofertas.estado = 'ACEPTADA'
    INNER JOIN public.ofertas_detalle ON ofertas_detalle.oferta_id = ofertas.id
    WHERE
        solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
        AND ofertas_detalle.precio_unitario <> 'NaN'
        AND (
            EXISTS (
                SELECT FROM public.adjudicaciones_repuesto AS award
                WHERE
                    award.oferta_id = ofertas.id
                    AND award.repuesto_solicitado_id = ofertas_detalle.repuesto_solicitado_id
            )
            OR NOT EXISTS (
                SELECT FROM public.adjudicaciones_repuesto AS award
                WHERE award.oferta_id = ofertas.id
            )
        )
    GROUP BY mes
)

SELECT
    months.mes,
    round(
        100 * (months.aceptado - lag(months.aceptado) OVER (ORDER BY months.mes))
        / nullif(lag(months.aceptado) OVER (ORDER BY months.mes), 0), 2
    ) AS crecimiento_mensual_pct,
    sum(months.aceptado) OVER (ORDER BY months.mes) AS acumulado_anual
FROM months
ORDER BY months.mes;
