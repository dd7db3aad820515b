-- Naive: retained is who was active before.
--
-- Wrong: an advisor who skipped a month came back; and a month without requests has no row, so the
-- row before is not the month before.

WITH active AS (
    SELECT DISTINCT
        date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
        ofertas.asesor_id
    FROM public.solicitudes
    INNER JOIN public.ofertas ON ofertas.solicitud_id = solicitudes.id
    WHERE solicitudes.created_at BETWEEN '2000-01-02' AND '2099-12-30'
)

SELECT
    active.mes,
    count(*) FILTER (
        WHERE EXISTS (
            SELECT FROM active AS earlier
            WHERE earlier.asesor_id = active.asesor_id AND earlier.mes < active.mes
        )
    ) AS asesores_retenidos,
    0 AS asesores_reactivados
FROM active
GROUP BY active.mes
ORDER BY active.mes;
