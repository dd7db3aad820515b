-- Naive: the value of every line of an offer that won.
--
-- Wrong: one request's parts can go to different offers; only the lines whose part was awarded to
-- their offer were.

SELECT
    date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
    sum(ofertas_detalle.precio_unitario * ofertas_detalle.cantidad) AS valor_bruto_adjudicado
FROM public.solicitudes
INNER JOIN public.ofertas ON ofertas.solicitud_id = solicitudes.id
INNER JOIN public.ofertas_detalle ON ofertas_detalle.oferta_id = ofertas.id
WHERE
    isfinite(solicitudes.created_at)
    AND (
        ofertas.estado IN ('GANADORA', 'ACEPTADA')
        OR EXISTS (
            SELECT FROM public.adjudicaciones_repuesto
            WHERE adjudicaciones_repuesto.oferta_id = ofertas.id
        )
    )
GROUP BY mes
ORDER BY mes;
