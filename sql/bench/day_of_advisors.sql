-- The same day of work on the side of the advisors: in the transaction of day_of_requests.sql.

INSERT INTO public.ofertas_historicas (
    id, asesor_id, solicitud_id, fecha, monto_total, cantidad_repuestos, tiempo_respuesta_seg,
    adjudicada, aceptada_cliente, entrega_exitosa, created_at, updated_at
)
SELECT
    md5(model.id::text || new_solicitudes.id::text)::uuid AS id,
    model.asesor_id,
    new_solicitudes.id AS solicitud_id,
    model.fecha + new_solicitudes.days AS fecha,
    model.monto_total,
    model.cantidad_repuestos,
    model.tiempo_respuesta_seg,
    model.adjudicada,
    model.aceptada_cliente,
    model.entrega_exitosa,
    model.created_at + make_interval(days => new_solicitudes.days) AS created_at,
    model.updated_at + make_interval(days => new_solicitudes.days) AS updated_at
FROM new_solicitudes
INNER JOIN public.ofertas_historicas AS model ON model.solicitud_id = new_solicitudes.model_id;

INSERT INTO public.historial_respuestas_ofertas (
    id, asesor_id, solicitud_id, fecha_envio, fecha_vista, fecha_respuesta, respondio,
    tiempo_respuesta_seg, created_at, updated_at
)
SELECT
    md5(model.id::text || new_solicitudes.id::text)::uuid AS id,
    model.asesor_id,
    new_solicitudes.id AS solicitud_id,
    model.fecha_envio + make_interval(days => new_solicitudes.days) AS fecha_envio,
    model.fecha_vista + make_interval(days => new_solicitudes.days) AS fecha_vista,
    model.fecha_respuesta + make_interval(days => new_solicitudes.days) AS fecha_respuesta,
    model.respondio,
    model.tiempo_respuesta_seg,
    model.created_at + make_interval(days => new_solicitudes.days) AS created_at,
    model.updated_at + make_interval(days => new_solicitudes.days) AS updated_at
FROM new_solicitudes
INNER JOIN public.historial_respuestas_ofertas AS model
    ON model.solicitud_id = new_solicitudes.model_id;

UPDATE public.ofertas_historicas SET
    adjudicada = true,
    aceptada_cliente = decided.is_accepted,
    entrega_exitosa = decided.is_accepted AND ofertas_historicas.entrega_exitosa,
    updated_at = ofertas_historicas.created_at + interval '25 hours'
FROM decided_solicitudes AS decided
WHERE
    ofertas_historicas.solicitud_id = decided.id
    AND ofertas_historicas.asesor_id = decided.asesor_id;

UPDATE public.historial_respuestas_ofertas SET
    respondio = true,
    tiempo_respuesta_seg = 5400,
    fecha_respuesta = historial_respuestas_ofertas.fecha_envio + interval '90 minutes',
    updated_at = historial_respuestas_ofertas.fecha_envio + interval '90 minutes'
FROM decided_solicitudes AS decided
WHERE
    historial_respuestas_ofertas.solicitud_id = decided.id
    AND NOT historial_respuestas_ofertas.respondio;
