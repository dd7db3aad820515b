-- Naive: how long ago the last offer was, as of the last change.
--
-- Wrong: it grows with every day, also when nothing else changed.

SELECT
    asesores.id::text AS asesor_id,
    date '2026-11-23' - max(ofertas_historicas.fecha) AS recencia_dias
FROM public.asesores
INNER JOIN public.ofertas_historicas ON ofertas_historicas.asesor_id = asesores.id
WHERE
    asesores.estado = 'ACTIVO'
    AND ofertas_historicas.fecha BETWEEN date '2026-11-23' - 89 AND date '2026-11-23'
GROUP BY asesores.id;
