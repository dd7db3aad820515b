-- Naive: closing time averaged over all requests.
--
-- Wrong: a request that is still open has an updated_at too, but has not been closed by it.

SELECT
    date_trunc('month', created_at AT TIME ZONE 'America/Bogota')::date AS mes,
    round(
        avg(extract(EPOCH FROM coalesce(fecha_respuesta_cliente, updated_at) - created_at)), 2
    ) AS tiempo_promedio_cierre_seg
FROM public.solicitudes
GROUP BY mes
ORDER BY mes;
