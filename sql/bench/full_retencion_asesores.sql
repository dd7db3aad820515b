-- Retention of advisors, all of history, as a good hand-written query.
--
-- The baseline of scripts/bench.py: straight from the tables, numbers of the demo (no NaN, no NULL
-- parent).

WITH active AS (
    SELECT DISTINCT
        date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
        ofertas.asesor_id
    FROM public.solicitudes
    INNER JOIN public.ofertas ON ofertas.solicitud_id = solicitudes.id
),

seen AS (
    SELECT
        active.mes,
        active.asesor_id,
        lag(active.mes) OVER (PARTITION BY active.asesor_id ORDER BY active.mes) AS earlier,
        lead(active.mes) OVER (PARTITION BY active.asesor_id ORDER BY active.mes) AS later
    FROM active
),

month_active AS (
    SELECT
        seen.mes,
        count(*) AS active,
        count(*) FILTER (
            WHERE seen.earlier = (seen.mes - interval '1 month')::date
        ) AS retained,
        count(*) FILTER (WHERE seen.earlier IS NULL) AS new,
        count(*) FILTER (
            WHERE seen.later IS DISTINCT FROM (seen.mes + interval '1 month')::date
        ) AS lost_after
    FROM seen
    GROUP BY seen.mes
),

calendar AS (
    SELECT
        generate_series(
            date_trunc('month', min(solicitudes.created_at) AT TIME ZONE 'America/Bogota'),
            date_trunc('month', max(solicitudes.created_at) AT TIME ZONE 'America/Bogota'),
            interval '1 month'
        )::date AS mes
    FROM public.solicitudes
),

months AS (
    SELECT
        calendar.mes,
        coalesce(month_active.active, 0) AS active,
        coalesce(month_active.retained, 0) AS retained,
        coalesce(month_active.new, 0) AS new,
        lag(month_active.active) OVER (ORDER BY calendar.mes) AS active_before,
        coalesce(lag(month_active.lost_after) OVER (ORDER BY calendar.mes), 0) AS lost
    FROM calendar
    LEFT JOIN month_active ON month_active.mes = calendar.mes
)

SELECT
    months.mes,
    months.active AS asesores_activos,
    months.retained AS asesores_retenidos,
    months.new AS asesores_nuevos,
    months.active - months.retained - months.new AS asesores_reactivados,
    months.lost AS asesores_perdidos,
    kpi_engine.percentage(months.retained, months.active_before) AS tasa_retencion_pct
FROM months
