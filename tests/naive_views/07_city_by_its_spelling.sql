-- Naive: a city is what was written, trimmed and in capitals; shown as it was written once.
--
-- Wrong: three ways to write one city are three rows, and any of them may be shown.

SELECT
    date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
    upper(trim(solicitudes.ciudad_origen)) AS ciudad_key,
    min(solicitudes.ciudad_origen) AS ciudad,
    count(*) AS solicitudes
FROM public.solicitudes
WHERE solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
GROUP BY mes, upper(trim(solicitudes.ciudad_origen))
ORDER BY mes, ciudad_key;
