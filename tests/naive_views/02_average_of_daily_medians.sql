-- Naive: the median of a month as the average of the medians of its days.
--
-- Wrong: a day with one request weighs as much as a day with a hundred.

SELECT
    date_trunc('month', days.dia)::date AS mes,
    days.nivel,
    round(avg(days.mediana)::numeric, 2) AS ttfo_mediana_seg
FROM (
    SELECT
        (solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS dia,
        solicitudes.nivel_actual AS nivel,
        percentile_cont(0.5) WITHIN GROUP (
            ORDER BY extract(EPOCH FROM first_offer.made_at - solicitudes.created_at)
        ) AS mediana
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
    GROUP BY dia, nivel
) AS days
GROUP BY mes, days.nivel
ORDER BY mes, days.nivel;
