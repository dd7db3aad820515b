-- Naive: weeks cut in UTC.
--
-- Wrong: on Sunday from 19:00 on it is Monday in UTC, and another week.

SELECT
    date_trunc('week', solicitudes.created_at AT TIME ZONE 'UTC')::date AS semana,
    count(*) AS solicitudes_creadas
FROM public.solicitudes
WHERE solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
GROUP BY semana
ORDER BY semana;
