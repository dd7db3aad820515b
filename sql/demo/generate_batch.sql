-- Generates the requests demo_run.batch_first to batch_last with all that belongs to them.
--
-- A request is sent to 4 to 6 advisors, who answer within 3 hours or never. It is evaluated
-- 3 to 24 hours after its creation, part by part, and the client decides within 48 hours;
-- what would happen after demo_run.moment has not happened yet.

TRUNCATE batch_solicitudes, batch_repuestos, batch_ofertas, batch_detalle, batch_adjudicaciones;

WITH numbers AS MATERIALIZED (
    SELECT
        days.day,
        days.elapsed,
        generated.number,
        pg_temp.row_key(run.solicitudes_key, generated.number) AS key
    FROM demo_run AS run
    INNER JOIN demo_days AS days
        ON days.first_number <= run.batch_last AND days.last_number >= run.batch_first
    CROSS JOIN
        generate_series(
            greatest(days.first_number, run.batch_first),
            least(days.last_number, run.batch_last)
        ) AS generated (number)
)

INSERT INTO batch_solicitudes (
    number, key, id, cliente_id, ciudad_number, created_at,
    evaluada_at, expira_at, decidida_at, decision
)
SELECT
    drawn.number,
    drawn.key,
    pg_temp.row_id('solicitud', drawn.key) AS id,
    pg_temp.row_id('cliente', drawn.cliente_key) AS cliente_id,
    ciudades.number AS ciudad_number,
    drawn.created_at,
    drawn.evaluada_at,
    drawn.evaluada_at + interval '48 hours' AS expira_at,
    drawn.evaluada_at + CASE
        WHEN drawn.decision = 'EXPIRADA' THEN interval '48 hours'
        ELSE pg_temp.seconds(600 + 170000 * power(pg_temp.draw(drawn.key, 6), 2))
    END AS decidida_at,
    drawn.decision
FROM (
    SELECT
        keys.number,
        keys.key,
        pg_temp.row_key(keys.clientes_key, keys.cliente_number) AS cliente_key,
        keys.created_at,
        keys.created_at
        + pg_temp.seconds(10800 + 75600 * pg_temp.draw(keys.key, 4)) AS evaluada_at,
        CASE
            WHEN pg_temp.draw(keys.key, 5) < keys.aceptacion THEN 'ACEPTADA'
            WHEN pg_temp.draw(keys.key, 5) < keys.aceptacion + 0.12 THEN 'EXPIRADA'
            ELSE 'RECHAZADA'
        END AS decision
    FROM (
        SELECT
            numbers.number,
            numbers.key,
            run.clientes_key,
            1 + floor(
                run.clientes * (0.25 + 0.75 * numbers.number / run.solicitudes)
                * power(pg_temp.draw(numbers.key, 1), 1.25)
            )::bigint AS cliente_number,
            (numbers.day::timestamp AT TIME ZONE 'America/Bogota')
            + pg_temp.seconds(
                numbers.elapsed * (3600 * horas.number + 3600 * pg_temp.draw(numbers.key, 3))
            ) AS created_at,
            0.50 + 0.12 * numbers.number / run.solicitudes AS aceptacion
        FROM demo_run AS run
        CROSS JOIN numbers
        INNER JOIN demo_slots AS horas
            ON horas.kind = 'hora' AND horas.slot = pg_temp.pick(numbers.key, 2, 5000)
    ) AS keys
) AS drawn
INNER JOIN demo_slots AS ciudades
    ON ciudades.kind = 'ciudad' AND ciudades.slot = pg_temp.pick(drawn.cliente_key, 1, 5000);

-- 1 to 5 parts of one vehicle.
INSERT INTO batch_repuestos (
    number, part, key, id, nombre, marca, linea, anio, cantidad, precio
)
SELECT
    keys.number,
    keys.part,
    keys.key,
    pg_temp.row_id('repuesto', keys.key) AS id,
    repuestos.nombre,
    pg_temp.as_typed(vehiculos.marca, pg_temp.draw(keys.key, 2)) AS marca,
    vehiculos.linea,
    vehiculos.first_year + pg_temp.pick(
        keys.solicitud_key, 13, vehiculos.last_year - vehiculos.first_year + 1
    ) AS anio,
    1 + pg_temp.pick(keys.key, 3, repuestos.max_cantidad) AS cantidad,
    repuestos.base_price * vehiculos.price_factor * exp(0.30 * pg_temp.bell(keys.key, 4))
        AS precio
FROM (
    SELECT
        solicitudes.number,
        solicitudes.key AS solicitud_key,
        numbers.part,
        pg_temp.row_key(solicitudes.key, numbers.part) AS key
    FROM batch_solicitudes AS solicitudes
    CROSS JOIN LATERAL generate_series(
        1,
        (ARRAY[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5])[
            1 + pg_temp.pick(solicitudes.key, 11, 20)
        ]
    ) AS numbers (part)
) AS keys
INNER JOIN demo_slots AS vehiculo_slots
    ON
        vehiculo_slots.kind = 'vehiculo'
        AND vehiculo_slots.slot = pg_temp.pick(keys.solicitud_key, 12, 5000)
INNER JOIN demo_vehiculos AS vehiculos ON vehiculos.number = vehiculo_slots.number
INNER JOIN demo_slots AS repuesto_slots
    ON repuesto_slots.kind = 'repuesto' AND repuesto_slots.slot = pg_temp.pick(keys.key, 1, 5000)
INNER JOIN demo_repuestos AS repuestos ON repuestos.number = repuesto_slots.number;

-- To whom it is sent, mostly in the client's city, and who answers (has created_at).
INSERT INTO batch_ofertas (
    number, key, id, asesor_id, calidad, nivel_precios, enviado_at, segundos, created_at,
    estado_propio
)
SELECT
    answers.number,
    answers.key,
    pg_temp.row_id('oferta', answers.key) AS id,
    answers.asesor_id,
    answers.calidad,
    answers.nivel_precios,
    answers.enviado_at,
    answers.segundos,
    answers.enviado_at + make_interval(secs => answers.segundos) AS created_at,
    CASE
        WHEN pg_temp.draw(answers.key, 4) < 0.010 THEN 'RECHAZADA'
        WHEN pg_temp.draw(answers.key, 4) < 0.035 THEN 'EXPIRADA'
    END AS estado_propio
FROM (
    SELECT
        sent.number,
        sent.key,
        sent.enviado_at,
        asesores.id AS asesor_id,
        asesores.calidad,
        asesores.nivel_precios,
        CASE
            WHEN
                NOT sent.sin_respuesta
                AND pg_temp.draw(sent.key, 2) < asesores.actividad
                AND (asesores.retirado_at IS NULL OR sent.enviado_at < asesores.retirado_at)
                THEN least(10500, greatest(
                    30, asesores.segundos * exp(0.6 * pg_temp.bell(sent.key, 3))
                ))::integer
        END AS segundos
    FROM (
        SELECT
            pools.number,
            pg_temp.row_key(pools.key, 100 + numbers.number) AS key,
            pools.created_at + pg_temp.seconds(
                5 + 55 * pg_temp.draw(pools.key, 200 + numbers.number)
            ) AS enviado_at,
            pools.sin_respuesta,
            -- Steps of at most a sixth of the pool: never the same advisor twice.
            pools.first_asesor + (
                pg_temp.pick(pools.key, 22, pools.asesores)
                + (numbers.number - 1)
                * (1 + pg_temp.pick(pools.key, 23, pools.asesores / 6))
            ) % pools.asesores AS asesor_number
        FROM (
            SELECT
                solicitudes.number,
                solicitudes.key,
                solicitudes.created_at,
                pg_temp.draw(solicitudes.key, 24) < 0.05 AS sin_respuesta,
                CASE
                    WHEN pg_temp.draw(solicitudes.key, 21) < 0.12 THEN 1
                    ELSE ciudades.first_asesor
                END AS first_asesor,
                CASE
                    WHEN pg_temp.draw(solicitudes.key, 21) < 0.12 THEN run.asesores
                    ELSE ciudades.asesores
                END AS asesores
            FROM batch_solicitudes AS solicitudes
            INNER JOIN demo_ciudades AS ciudades ON ciudades.number = solicitudes.ciudad_number
            CROSS JOIN demo_run AS run
        ) AS pools
        CROSS JOIN LATERAL generate_series(1, 4 + pg_temp.pick(pools.key, 25, 3))
            AS numbers (number)
    ) AS sent
    INNER JOIN demo_asesores AS asesores ON asesores.number = sent.asesor_number
) AS answers
CROSS JOIN demo_run AS run
WHERE answers.enviado_at <= run.moment;

-- Who has not answered yet at the moment, has not answered.
UPDATE batch_ofertas SET
    segundos = NULL,
    created_at = NULL
FROM demo_run AS run
WHERE batch_ofertas.created_at > run.moment;

-- An offer has nearly all parts, the first one always. The lower puntaje wins: price,
-- corrected by how good the advisor is; NULL cannot win.
WITH keys AS MATERIALIZED (
    SELECT
        ofertas.number,
        ofertas.key AS oferta_key,
        ofertas.id AS oferta_id,
        ofertas.created_at,
        ofertas.calidad,
        ofertas.nivel_precios,
        ofertas.estado_propio,
        repuestos.id AS repuesto_id,
        repuestos.part,
        repuestos.cantidad,
        repuestos.precio AS precio_base,
        pg_temp.row_key(ofertas.key, repuestos.part) AS key
    FROM batch_ofertas AS ofertas
    INNER JOIN batch_repuestos AS repuestos ON repuestos.number = ofertas.number
    WHERE ofertas.created_at IS NOT NULL
),

lines AS (
    SELECT
        number,
        oferta_key,
        oferta_id,
        repuesto_id,
        created_at,
        calidad,
        estado_propio,
        cantidad,
        key,
        precio_base,
        precio_base * nivel_precios * exp(0.12 * pg_temp.bell(key, 1)) AS precio
    FROM keys
    WHERE part = 1 OR pg_temp.draw(key, 4) < 0.94
)

INSERT INTO batch_detalle (
    number, oferta_key, oferta_id, repuesto_id, id, created_at, precio_unitario, cantidad,
    garantia_meses, tiempo_entrega_dias, puntaje
)
SELECT
    number,
    oferta_key,
    oferta_id,
    repuesto_id,
    pg_temp.row_id('detalle', key) AS id,
    created_at,
    least(50000000, greatest(1000, CASE
        WHEN pg_temp.draw(key, 2) < 0.85 THEN round(precio::numeric, -2)
        ELSE round(precio::numeric, 2)
    END)) AS precio_unitario,
    cantidad,
    (ARRAY[1, 3, 3, 6, 6, 6, 12, 12, 12, 24, 36, 60])[1 + pg_temp.pick(key, 3, 12)]
        AS garantia_meses,
    1 + floor(9 * power(pg_temp.draw(oferta_key, 5), 2))::integer AS tiempo_entrega_dias,
    CASE
        WHEN estado_propio IS NULL
            THEN precio / precio_base * (1.25 - 0.40 * calidad)
    END AS puntaje
FROM lines;

INSERT INTO batch_adjudicaciones (
    number, oferta_id, repuesto_id, precio_unitario, cantidad
)
SELECT DISTINCT ON (detalle.repuesto_id)
    detalle.number,
    detalle.oferta_id,
    detalle.repuesto_id,
    detalle.precio_unitario,
    detalle.cantidad
FROM batch_detalle AS detalle
INNER JOIN batch_solicitudes AS solicitudes ON solicitudes.number = detalle.number
CROSS JOIN demo_run AS run
WHERE detalle.puntaje IS NOT NULL AND solicitudes.evaluada_at <= run.moment
ORDER BY detalle.repuesto_id, detalle.puntaje, detalle.oferta_id;

INSERT INTO public.solicitudes (
    id, cliente_id, estado, nivel_actual, ciudad_origen, departamento_origen,
    cliente_acepto, fecha_respuesta_cliente, fecha_evaluacion, fecha_expiracion,
    created_at, updated_at
)
SELECT
    outcomes.id,
    outcomes.cliente_id,
    CASE
        WHEN outcomes.decidida AND outcomes.decision = 'ACEPTADA' THEN 'OFERTAS_ACEPTADAS'
        WHEN outcomes.decidida THEN 'OFERTAS_RECHAZADAS'
        WHEN outcomes.evaluada THEN 'EVALUADA'
        WHEN outcomes.cerrada THEN 'CERRADA_SIN_OFERTAS'
        ELSE 'ABIERTA'
    END AS estado,
    1 + floor(5 * power(pg_temp.draw(outcomes.key, 31), 2))::integer AS nivel_actual,
    pg_temp.as_typed(outcomes.ciudad, pg_temp.draw(outcomes.key, 32)) AS ciudad_origen,
    outcomes.departamento,
    CASE WHEN outcomes.decidida THEN outcomes.decision = 'ACEPTADA' END AS cliente_acepto,
    CASE
        WHEN outcomes.decidida AND outcomes.decision <> 'EXPIRADA' THEN outcomes.decidida_at
    END AS fecha_respuesta_cliente,
    CASE WHEN outcomes.evaluada THEN outcomes.evaluada_at END AS fecha_evaluacion,
    CASE WHEN outcomes.evaluada THEN outcomes.expira_at END AS fecha_expiracion,
    outcomes.created_at,
    CASE
        WHEN outcomes.decidida THEN outcomes.decidida_at
        WHEN outcomes.evaluada THEN outcomes.evaluada_at
        WHEN outcomes.cerrada THEN outcomes.created_at + interval '24 hours'
        ELSE outcomes.created_at
    END AS updated_at
FROM (
    SELECT
        solicitudes.id,
        solicitudes.key,
        solicitudes.cliente_id,
        solicitudes.created_at,
        solicitudes.evaluada_at,
        solicitudes.expira_at,
        solicitudes.decidida_at,
        solicitudes.decision,
        ciudades.ciudad,
        ciudades.departamento,
        winners.number IS NOT NULL AS evaluada,
        winners.number IS NOT NULL AND solicitudes.decidida_at <= run.moment AS decidida,
        solicitudes.created_at + interval '24 hours' <= run.moment AS cerrada
    FROM batch_solicitudes AS solicitudes
    INNER JOIN demo_ciudades AS ciudades ON ciudades.number = solicitudes.ciudad_number
    LEFT JOIN (SELECT DISTINCT number FROM batch_adjudicaciones) AS winners
        ON winners.number = solicitudes.number
    CROSS JOIN demo_run AS run
) AS outcomes;

INSERT INTO public.repuestos_solicitados (
    id, solicitud_id, nombre, marca_vehiculo, linea_vehiculo, anio_vehiculo, cantidad,
    created_at, updated_at
)
SELECT
    repuestos.id,
    solicitudes.id AS solicitud_id,
    repuestos.nombre,
    repuestos.marca,
    repuestos.linea,
    repuestos.anio,
    repuestos.cantidad,
    solicitudes.created_at,
    solicitudes.created_at AS updated_at
FROM batch_repuestos AS repuestos
INNER JOIN batch_solicitudes AS solicitudes ON solicitudes.number = repuestos.number;

INSERT INTO public.ofertas_detalle (
    id, oferta_id, repuesto_solicitado_id, precio_unitario, cantidad, garantia_meses,
    tiempo_entrega_dias, created_at, updated_at
)
SELECT
    detalle.id,
    detalle.oferta_id,
    detalle.repuesto_id,
    detalle.precio_unitario,
    detalle.cantidad,
    detalle.garantia_meses,
    detalle.tiempo_entrega_dias,
    detalle.created_at,
    detalle.created_at AS updated_at
FROM batch_detalle AS detalle;

INSERT INTO public.adjudicaciones_repuesto (
    id, solicitud_id, oferta_id, repuesto_solicitado_id, precio_adjudicado,
    cantidad_adjudicada, created_at, updated_at
)
SELECT
    md5('adjudicacion' || adjudicaciones.repuesto_id::text)::uuid AS id,
    solicitudes.id AS solicitud_id,
    adjudicaciones.oferta_id,
    adjudicaciones.repuesto_id,
    adjudicaciones.precio_unitario,
    adjudicaciones.cantidad,
    solicitudes.evaluada_at,
    solicitudes.evaluada_at AS updated_at
FROM batch_adjudicaciones AS adjudicaciones
INNER JOIN batch_solicitudes AS solicitudes ON solicitudes.number = adjudicaciones.number;

-- Offers, and their history rows with the flags as far as the moment.
WITH totals AS (
    SELECT
        oferta_id,
        sum(precio_unitario * cantidad) AS monto_total,
        count(*) AS lineas,
        max(tiempo_entrega_dias) AS tiempo_entrega_dias
    FROM batch_detalle
    GROUP BY oferta_id
),

winners AS (
    SELECT DISTINCT oferta_id FROM batch_adjudicaciones
),

outcomes AS (
    SELECT
        ofertas.id,
        ofertas.key,
        ofertas.asesor_id,
        ofertas.calidad,
        ofertas.segundos,
        ofertas.created_at,
        ofertas.estado_propio,
        totals.monto_total,
        totals.lineas,
        totals.tiempo_entrega_dias,
        winners.oferta_id IS NOT NULL AS ganadora,
        solicitudes.id AS solicitud_id,
        solicitudes.evaluada_at,
        solicitudes.decidida_at,
        solicitudes.decision,
        run.moment,
        solicitudes.evaluada_at <= run.moment AS evaluada,
        solicitudes.decidida_at <= run.moment AS decidida,
        solicitudes.decidida_at + make_interval(days => totals.tiempo_entrega_dias)
        + pg_temp.seconds(86400 * (1 + 6 * pg_temp.draw(ofertas.key, 7))) AS entregada_at
    FROM batch_ofertas AS ofertas
    INNER JOIN batch_solicitudes AS solicitudes ON solicitudes.number = ofertas.number
    INNER JOIN totals ON totals.oferta_id = ofertas.id
    LEFT JOIN winners ON winners.oferta_id = ofertas.id
    CROSS JOIN demo_run AS run
),

stored AS (
    INSERT INTO public.ofertas (
        id, solicitud_id, asesor_id, tiempo_entrega_dias, estado, monto_total,
        created_at, updated_at
    )
    SELECT
        outcomes.id,
        outcomes.solicitud_id,
        outcomes.asesor_id,
        outcomes.tiempo_entrega_dias,
        CASE
            WHEN NOT outcomes.evaluada THEN 'ENVIADA'
            WHEN outcomes.estado_propio IS NOT NULL THEN outcomes.estado_propio
            WHEN NOT outcomes.ganadora THEN 'NO_SELECCIONADA'
            WHEN NOT outcomes.decidida THEN 'GANADORA'
            ELSE outcomes.decision
        END AS estado,
        outcomes.monto_total,
        outcomes.created_at,
        CASE
            WHEN NOT outcomes.evaluada THEN outcomes.created_at
            WHEN outcomes.ganadora AND outcomes.decidida THEN outcomes.decidida_at
            ELSE outcomes.evaluada_at
        END AS updated_at
    FROM outcomes
)

INSERT INTO public.ofertas_historicas (
    id, asesor_id, solicitud_id, fecha, monto_total, cantidad_repuestos, tiempo_respuesta_seg,
    adjudicada, aceptada_cliente, entrega_exitosa, created_at, updated_at
)
SELECT
    pg_temp.row_id('historica', outcomes.key) AS id,
    outcomes.asesor_id,
    outcomes.solicitud_id,
    (outcomes.created_at AT TIME ZONE 'UTC')::date AS fecha,
    outcomes.monto_total,
    outcomes.lineas,
    CASE WHEN pg_temp.draw(outcomes.key, 8) < 0.02 THEN 0 ELSE outcomes.segundos END
        AS tiempo_respuesta_seg,
    outcomes.ganadora AS adjudicada,
    outcomes.ganadora AND outcomes.decidida AND outcomes.decision = 'ACEPTADA'
        AS aceptada_cliente,
    outcomes.ganadora AND outcomes.decision = 'ACEPTADA'
    AND outcomes.entregada_at <= outcomes.moment
    AND pg_temp.draw(outcomes.key, 9) < 0.70 + 0.28 * outcomes.calidad AS entrega_exitosa,
    outcomes.created_at,
    CASE
        WHEN NOT outcomes.evaluada THEN outcomes.created_at
        WHEN NOT (outcomes.ganadora AND outcomes.decidida) THEN outcomes.evaluada_at
        WHEN outcomes.decision <> 'ACEPTADA' OR outcomes.entregada_at > outcomes.moment
            THEN outcomes.decidida_at
        ELSE outcomes.entregada_at
    END AS updated_at
FROM outcomes;

INSERT INTO public.historial_respuestas_ofertas (
    id, asesor_id, solicitud_id, fecha_envio, fecha_vista, fecha_respuesta, respondio,
    tiempo_respuesta_seg, created_at, updated_at
)
SELECT
    pg_temp.row_id('historial', ofertas.key) AS id,
    ofertas.asesor_id,
    solicitudes.id AS solicitud_id,
    ofertas.enviado_at,
    CASE
        WHEN ofertas.segundos IS NOT NULL
            THEN
                ofertas.enviado_at
                + pg_temp.seconds(ofertas.segundos * pg_temp.draw(ofertas.key, 10))
    END AS fecha_vista,
    ofertas.created_at AS fecha_respuesta,
    ofertas.created_at IS NOT NULL AS respondio,
    ofertas.segundos,
    ofertas.enviado_at AS created_at,
    coalesce(ofertas.created_at, ofertas.enviado_at) AS updated_at
FROM batch_ofertas AS ofertas
INNER JOIN batch_solicitudes AS solicitudes ON solicitudes.number = ofertas.number;
