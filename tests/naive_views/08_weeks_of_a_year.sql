-- Naive: weeks by their number in the calendar year.
--
-- Wrong: the week of 1 January belongs to two years, and is cut in two or put at the wrong end.

SELECT
    date_trunc('week', make_date(weeks.anio, 1, 4))::date + 7 * (weeks.semana - 1) AS semana,
    count(*) AS solicitudes_creadas
FROM (
    SELECT
        extract(YEAR FROM solicitudes.created_at AT TIME ZONE 'America/Bogota')::integer AS anio,
        extract(WEEK FROM solicitudes.created_at AT TIME ZONE 'America/Bogota')::integer AS semana
    FROM public.solicitudes
    WHERE solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
) AS weeks
GROUP BY weeks.anio, weeks.semana
ORDER BY semana;
