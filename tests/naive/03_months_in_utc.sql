-- Naive: months cut in UTC.
--
-- Wrong: from 19:00 on, the last evening of a month in Bogotá is already the next month in UTC.

SELECT
    date_trunc('month', created_at AT TIME ZONE 'UTC')::date AS mes,
    count(*) AS solicitudes_creadas,
    count(DISTINCT cliente_id) AS clientes_activos
FROM public.solicitudes
GROUP BY mes
ORDER BY mes;
