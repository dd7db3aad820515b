-- Naive: the median by percentile_cont().
--
-- Wrong: it computes in floating point: a tie at the third decimal falls to either side.

SELECT
    (solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS dia,
    round(percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(EPOCH FROM first_offer.made_at - solicitudes.created_at)
    )::numeric, 2) AS ttfo_mediana_seg
FROM public.solicitudes
INNER JOIN (
    SELECT
        ofertas.solicitud_id,
        min(ofertas.created_at) AS made_at
    FROM public.ofertas
    WHERE isfinite(ofertas.created_at)
    GROUP BY ofertas.solicitud_id
) AS first_offer ON first_offer.solicitud_id = solicitudes.id
WHERE solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
GROUP BY dia
ORDER BY dia;
