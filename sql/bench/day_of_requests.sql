-- A day of work on the side of the requests, by ordinary statements: new requests today with
-- their parts, offers, lines and adjudications, and as many decisions on requests of the last 7
-- days with their offers.
--
-- Settings of the session: bench.today, and bench.rows, how many requests of each. New
-- ones are copies of requests of the last weeks with other ids, so that they look like them.

CREATE TEMPORARY TABLE new_solicitudes ON COMMIT DROP AS
SELECT
    model.id AS model_id,
    md5(model.id::text || current_setting('bench.today') || current_setting('bench.salt'))::uuid
        AS id,
    current_setting('bench.today')::date - (model.created_at AT TIME ZONE 'America/Bogota')::date
        AS days
FROM public.solicitudes AS model
WHERE
    model.created_at
    >= (current_setting('bench.today')::date - 40)::timestamp AT TIME ZONE 'America/Bogota'
    AND model.created_at
    < (current_setting('bench.today')::date - 10)::timestamp AT TIME ZONE 'America/Bogota'
ORDER BY md5(model.id::text || current_setting('bench.today') || current_setting('bench.salt'))
LIMIT current_setting('bench.rows')::integer;

CREATE TEMPORARY TABLE decided_solicitudes ON COMMIT DROP AS
SELECT
    solicitudes.id,
    -- Always another outcome than before.
    solicitudes.estado <> 'OFERTAS_ACEPTADAS' AS is_accepted,
    cheapest.id AS oferta_id,
    cheapest.asesor_id
FROM (
    SELECT
        recent.id,
        recent.estado
    FROM public.solicitudes AS recent
    WHERE
        recent.created_at
        >= (current_setting('bench.today')::date - 7)::timestamp AT TIME ZONE 'America/Bogota'
        AND recent.created_at
        < current_setting('bench.today')::timestamp AT TIME ZONE 'America/Bogota'
    ORDER BY
        md5(recent.id::text || current_setting('bench.today') || current_setting('bench.salt'))
    LIMIT current_setting('bench.rows')::integer
) AS solicitudes
LEFT JOIN LATERAL (
    SELECT
        ofertas.id,
        ofertas.asesor_id
    FROM public.ofertas
    WHERE ofertas.solicitud_id = solicitudes.id
    ORDER BY ofertas.monto_total, ofertas.id
    LIMIT 1
) AS cheapest ON true;

ANALYZE new_solicitudes;
ANALYZE decided_solicitudes;

INSERT INTO public.solicitudes (
    id, cliente_id, estado, nivel_actual, ciudad_origen, departamento_origen, cliente_acepto,
    fecha_respuesta_cliente, fecha_evaluacion, fecha_expiracion, created_at, updated_at
)
SELECT
    new_solicitudes.id,
    model.cliente_id,
    model.estado,
    model.nivel_actual,
    model.ciudad_origen,
    model.departamento_origen,
    model.cliente_acepto,
    model.fecha_respuesta_cliente + make_interval(days => new_solicitudes.days)
        AS fecha_respuesta_cliente,
    model.fecha_evaluacion + make_interval(days => new_solicitudes.days) AS fecha_evaluacion,
    model.fecha_expiracion + make_interval(days => new_solicitudes.days) AS fecha_expiracion,
    model.created_at + make_interval(days => new_solicitudes.days) AS created_at,
    model.updated_at + make_interval(days => new_solicitudes.days) AS updated_at
FROM new_solicitudes
INNER JOIN public.solicitudes AS model ON model.id = new_solicitudes.model_id;

INSERT INTO public.repuestos_solicitados (
    id, solicitud_id, nombre, marca_vehiculo, linea_vehiculo, anio_vehiculo, cantidad,
    created_at, updated_at
)
SELECT
    md5(model.id::text || new_solicitudes.id::text)::uuid AS id,
    new_solicitudes.id AS solicitud_id,
    model.nombre,
    model.marca_vehiculo,
    model.linea_vehiculo,
    model.anio_vehiculo,
    model.cantidad,
    model.created_at + make_interval(days => new_solicitudes.days) AS created_at,
    model.updated_at + make_interval(days => new_solicitudes.days) AS updated_at
FROM new_solicitudes
INNER JOIN public.repuestos_solicitados AS model ON model.solicitud_id = new_solicitudes.model_id;

INSERT INTO public.ofertas (
    id, solicitud_id, asesor_id, tiempo_entrega_dias, estado, monto_total, created_at, updated_at
)
SELECT
    md5(model.id::text || new_solicitudes.id::text)::uuid AS id,
    new_solicitudes.id AS solicitud_id,
    model.asesor_id,
    model.tiempo_entrega_dias,
    model.estado,
    model.monto_total,
    model.created_at + make_interval(days => new_solicitudes.days) AS created_at,
    model.updated_at + make_interval(days => new_solicitudes.days) AS updated_at
FROM new_solicitudes
INNER JOIN public.ofertas AS model ON model.solicitud_id = new_solicitudes.model_id;

INSERT INTO public.ofertas_detalle (
    id, oferta_id, repuesto_solicitado_id, precio_unitario, cantidad, garantia_meses,
    tiempo_entrega_dias, created_at, updated_at
)
SELECT
    md5(model.id::text || new_solicitudes.id::text)::uuid AS id,
    md5(ofertas.id::text || new_solicitudes.id::text)::uuid AS oferta_id,
    md5(model.repuesto_solicitado_id::text || new_solicitudes.id::text)::uuid
        AS repuesto_solicitado_id,
    model.precio_unitario,
    model.cantidad,
    model.garantia_meses,
    model.tiempo_entrega_dias,
    model.created_at + make_interval(days => new_solicitudes.days) AS created_at,
    model.updated_at + make_interval(days => new_solicitudes.days) AS updated_at
FROM new_solicitudes
INNER JOIN public.ofertas ON ofertas.solicitud_id = new_solicitudes.model_id
INNER JOIN public.ofertas_detalle AS model ON model.oferta_id = ofertas.id;

INSERT INTO public.adjudicaciones_repuesto (
    id, solicitud_id, oferta_id, repuesto_solicitado_id, precio_adjudicado, cantidad_adjudicada,
    created_at, updated_at
)
SELECT
    md5(model.id::text || new_solicitudes.id::text)::uuid AS id,
    new_solicitudes.id AS solicitud_id,
    md5(model.oferta_id::text || new_solicitudes.id::text)::uuid AS oferta_id,
    md5(model.repuesto_solicitado_id::text || new_solicitudes.id::text)::uuid
        AS repuesto_solicitado_id,
    model.precio_adjudicado,
    model.cantidad_adjudicada,
    model.created_at + make_interval(days => new_solicitudes.days) AS created_at,
    model.updated_at + make_interval(days => new_solicitudes.days) AS updated_at
FROM new_solicitudes
INNER JOIN public.adjudicaciones_repuesto AS model
    ON model.solicitud_id = new_solicitudes.model_id;

UPDATE public.solicitudes SET
    estado = CASE
        WHEN decided.is_accepted THEN 'OFERTAS_ACEPTADAS'
        ELSE 'OFERTAS_RECHAZADAS'
    END,
    cliente_acepto = decided.is_accepted,
    fecha_respuesta_cliente = solicitudes.created_at + interval '26 hours 5 minutes',
    updated_at = solicitudes.created_at + interval '26 hours 5 minutes'
FROM decided_solicitudes AS decided
WHERE solicitudes.id = decided.id;

UPDATE public.ofertas SET
    estado = CASE
        WHEN ofertas.id <> decided.oferta_id THEN 'NO_SELECCIONADA'
        WHEN decided.is_accepted THEN 'ACEPTADA'
        ELSE 'RECHAZADA'
    END,
    updated_at = ofertas.created_at + interval '25 hours'
FROM decided_solicitudes AS decided
WHERE ofertas.solicitud_id = decided.id;
