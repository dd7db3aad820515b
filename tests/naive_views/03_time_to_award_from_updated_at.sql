-- Naive: the time to the award from updated_at.
--
-- Wrong: any later change of the request moves it, and some writes leave it alone.

SELECT
    (solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS dia,
    round(percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(EPOCH FROM solicitudes.updated_at - solicitudes.created_at)
    )::numeric, 2) AS tta_mediana_seg
FROM public.solicitudes
WHERE
    solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
    AND isfinite(solicitudes.updated_at)
    AND solicitudes.estado <> 'ABIERTA'
GROUP BY dia
ORDER BY dia;
