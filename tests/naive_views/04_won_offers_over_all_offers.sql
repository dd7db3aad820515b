-- Naive: the average rate of the advisors as the rate of all their offers together.
--
-- Wrong: an advisor with a hundred offers weighs a hundred times as much as one with one.

SELECT
    date_trunc('week', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS semana,
    round(100.0 * count(*) FILTER (
        WHERE ofertas.estado IN ('GANADORA', 'ACEPTADA') OR EXISTS (
            SELECT FROM public.adjudicaciones_repuesto
            WHERE adjudicaciones_repuesto.oferta_id = ofertas.id
        )
    ) / count(*), 2) AS tasa_adjudicacion_promedio_pct
FROM public.solicitudes
INNER JOIN public.ofertas ON ofertas.solicitud_id = solicitudes.id
WHERE solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
GROUP BY semana
ORDER BY semana;
