-- Naive: weeks from Sunday to Saturday.
--
-- Wrong: a week begins with its Monday.

SELECT
    (
        date_trunc('week', solicitudes.created_at AT TIME ZONE 'America/Bogota' + interval '1 day')
    )::date AS semana,
    count(*) AS solicitudes_creadas
FROM public.solicitudes
WHERE solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
GROUP BY semana
ORDER BY semana;
