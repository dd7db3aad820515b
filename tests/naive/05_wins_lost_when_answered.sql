-- Naive: an offer has won while its estado is GANADORA.
--
-- Wrong: the client's answer turns GANADORA into ACEPTADA, RECHAZADA or EXPIRADA, and the win
-- disappears from the month it belongs to.

SELECT
    date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota')::date AS mes,
    count(*) FILTER (WHERE ofertas.estado = 'GANADORA') AS ofertas_ganadoras
FROM public.solicitudes
INNER JOIN public.ofertas ON ofertas.solicitud_id = solicitudes.id
GROUP BY mes
ORDER BY mes;
