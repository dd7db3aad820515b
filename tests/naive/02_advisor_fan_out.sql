-- Naive: an advisor's historical offers, audits and notifications joined in one query.
--
-- Wrong: the three have nothing to do with one another, so each row of one is repeated for
-- every pair of the other two. (Today is 2026-11-23.)

SELECT
    asesores.id AS asesor_id,
    count(ofertas_historicas.id) AS ofertas_historicas_total,
    count(ofertas_historicas.id) FILTER (WHERE ofertas_historicas.adjudicada) AS ofertas_ganadoras,
    coalesce(sum(ofertas_historicas.monto_total), 0) AS volumen_total_ofertas,
    count(auditorias_tiendas.id) AS auditorias_realizadas,
    count(historial_respuestas_ofertas.id) AS notificaciones_recibidas
FROM public.asesores
LEFT JOIN public.ofertas_historicas
    ON
        ofertas_historicas.asesor_id = asesores.id
        AND ofertas_historicas.fecha BETWEEN '2026-10-25' AND '2026-11-23'
LEFT JOIN public.auditorias_tiendas
    ON
        auditorias_tiendas.asesor_id = asesores.id
        AND (auditorias_tiendas.fecha_revision AT TIME ZONE 'America/Bogota')::date
        BETWEEN '2026-08-26' AND '2026-11-23'
LEFT JOIN public.historial_respuestas_ofertas
    ON
        historial_respuestas_ofertas.asesor_id = asesores.id
        AND (historial_respuestas_ofertas.fecha_envio AT TIME ZONE 'America/Bogota')::date
        BETWEEN '2026-10-25' AND '2026-11-23'
WHERE asesores.estado = 'ACTIVO'
GROUP BY asesores.id
ORDER BY asesores.id;
