-- Naive: requests joined with offers, lines and parts in one query, then counted.
--
-- Wrong: every one-to-many join multiplies the rows of the others. A request with 3 offers of
-- 2 lines each and 2 parts is counted 12 times, and its money as often as it has parts.

SELECT
    date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
    count(*) AS solicitudes_creadas,
    count(ofertas.id) AS ofertas_totales,
    coalesce(
        sum(ofertas_detalle.precio_unitario * ofertas_detalle.cantidad)
        FILTER (WHERE ofertas.estado = 'ACEPTADA'),
        0
    ) AS volumen_transaccional_total
FROM public.solicitudes
LEFT JOIN public.ofertas ON ofertas.solicitud_id = solicitudes.id
LEFT JOIN public.ofertas_detalle ON ofertas_detalle.oferta_id = ofertas.id
LEFT JOIN public.repuestos_solicitados ON repuestos_solicitados.solicitud_id = solicitudes.id
GROUP BY mes
ORDER BY mes;
