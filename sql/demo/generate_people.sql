-- Days, advisors, their audits, clients: what the batches of requests refer to.

-- Each day has a range of the requests' numbers: more of them month by month, on
-- weekdays, before the holidays. Today has half a day's share, all before the moment.
CREATE TEMPORARY TABLE demo_days AS
WITH weights AS (
    SELECT
        days.day::date AS day,
        (
            power(
                2.6,
                (days.day::date - run.first_day)::numeric / (run.last_day - run.first_day)
            )
            * (ARRAY[0.20, 1.08, 1.05, 1.00, 1.00, 1.02, 0.60])[
                extract(DOW FROM days.day)::integer + 1
            ]
            * CASE extract(MONTH FROM days.day) WHEN 1 THEN 0.85 WHEN 12 THEN 1.10 ELSE 1 END
            * CASE WHEN days.day::date = run.last_day THEN 0.5 ELSE 1 END
            * (0.90 + 0.20 * pg_temp.draw(run.seed, days.day::date - date '2000-01-01'))
        )::numeric AS weight
    FROM demo_run AS run
    CROSS JOIN
        generate_series(
            run.first_day::timestamp, run.last_day::timestamp, interval '1 day'
        ) AS days (day)
),

shares AS (
    SELECT
        day,
        weight,
        sum(weight) OVER (ORDER BY day) AS upto,
        sum(weight) OVER () AS total
    FROM weights
)

SELECT
    shares.day,
    round(run.solicitudes * (shares.upto - shares.weight) / shares.total)::bigint + 1
        AS first_number,
    round(run.solicitudes * shares.upto / shares.total)::bigint AS last_number,
    CASE
        WHEN shares.day < run.last_day THEN 1.0
        ELSE greatest(
            extract(EPOCH FROM run.moment - run.last_day::timestamp AT TIME ZONE 'America/Bogota')
            - 60, 0
        ) / 86400
    END::double precision AS elapsed
FROM demo_run AS run
CROSS JOIN shares;

-- Advisors are numbered city by city. What one is like follows from calidad, in [0, 1).
CREATE TEMPORARY TABLE demo_asesores AS
SELECT
    row_number() OVER (ORDER BY drawn.ciudad_number, drawn.key)::integer AS number,
    drawn.key,
    pg_temp.row_id('asesor', drawn.key) AS id,
    pg_temp.row_id('usuario', drawn.key) AS usuario_id,
    drawn.ciudad_number,
    drawn.calidad,
    0.47 + 0.38 * drawn.calidad + 0.16 * pg_temp.draw(drawn.key, 3) AS actividad,
    300 + 3300 * (1 - drawn.calidad) * (0.5 + pg_temp.draw(drawn.key, 4)) AS segundos,
    0.86 + 0.24 * pg_temp.draw(drawn.key, 5) AS nivel_precios,
    CASE
        WHEN pg_temp.draw(drawn.key, 6) < 0.08
            THEN drawn.moment - pg_temp.seconds(47000000 * pg_temp.draw(drawn.key, 7))
    END AS retirado_at
FROM (
    SELECT
        keys.key,
        keys.moment,
        slots.number AS ciudad_number,
        pg_temp.draw(keys.key, 2) AS calidad
    FROM (
        SELECT
            run.moment,
            pg_temp.row_key(run.asesores_key, numbers.number) AS key
        FROM demo_run AS run
        CROSS JOIN generate_series(1, run.asesores) AS numbers (number)
    ) AS keys
    INNER JOIN demo_slots AS slots
        ON slots.kind = 'ciudad' AND slots.slot = pg_temp.pick(keys.key, 1, 5000)
) AS drawn;

ANALYZE demo_days, demo_asesores;

-- Whom a city's requests are sent to: its own advisors, and where there are fewer than 12,
-- those with the numbers around them.
WITH pools AS (
    SELECT
        ciudades.number AS ciudad_number,
        greatest(12, count(asesores.number)) AS size,
        coalesce(
            CASE WHEN count(asesores.number) < 12 THEN min(asesores.number) - 6 END,
            min(asesores.number),
            1
        ) AS first_number
    FROM demo_ciudades AS ciudades
    LEFT JOIN demo_asesores AS asesores ON ciudades.number = asesores.ciudad_number
    GROUP BY ciudades.number
)

UPDATE demo_ciudades SET
    first_asesor = greatest(1, least(pools.first_number, run.asesores - pools.size + 1)),
    asesores = pools.size
FROM demo_run AS run
CROSS JOIN pools
WHERE demo_ciudades.number = pools.ciudad_number;

INSERT INTO public.usuarios (
    id, nombre, apellido, email, telefono, rol, estado, created_at, updated_at
)
SELECT
    people.id,
    people.nombre,
    people.apellido,
    CASE
        WHEN pg_temp.draw(people.key, 13) >= people.sin_email
            THEN
                lower(pg_temp.without_accents(people.nombre || '.' || people.apellido))
                || '.' || people.rol_corto || people.number || '@example.com'
    END AS email,
    '+573' || lpad(pg_temp.pick(people.key, 14, 1000000000)::text, 9, '0') AS telefono,
    people.rol,
    'ACTIVO' AS estado,
    people.created_at,
    people.created_at AS updated_at
FROM (
    SELECT
        asesores.usuario_id AS id,
        asesores.key,
        asesores.number,
        'ADVISOR' AS rol,
        'a' AS rol_corto,
        0.03 AS sin_email,
        nombres.nombres[1 + pg_temp.pick(asesores.key, 11, cardinality(nombres.nombres))]
            AS nombre,
        nombres.apellidos[1 + pg_temp.pick(asesores.key, 12, cardinality(nombres.apellidos))]
            AS apellido,
        run.first_day::timestamp AT TIME ZONE 'America/Bogota' AS created_at
    FROM demo_asesores AS asesores
    CROSS JOIN demo_nombres AS nombres
    CROSS JOIN demo_run AS run
    UNION ALL
    SELECT
        pg_temp.row_id('usuario', keys.key) AS id,
        keys.key,
        keys.number,
        CASE WHEN keys.number = 1 THEN 'ADMIN' ELSE 'ANALYST' END AS rol,
        's' AS rol_corto,
        0 AS sin_email,
        nombres.nombres[1 + pg_temp.pick(keys.key, 11, cardinality(nombres.nombres))]
            AS nombre,
        nombres.apellidos[1 + pg_temp.pick(keys.key, 12, cardinality(nombres.apellidos))]
            AS apellido,
        run.first_day::timestamp AT TIME ZONE 'America/Bogota' AS created_at
    FROM demo_nombres AS nombres
    CROSS JOIN demo_run AS run
    CROSS JOIN LATERAL (
        SELECT
            numbers.number,
            pg_temp.row_key(run.auditores_key, numbers.number) AS key
        FROM generate_series(1, 20) AS numbers (number)
    ) AS keys
) AS people;

INSERT INTO public.asesores (
    id, usuario_id, ciudad, departamento, punto_venta, confianza, estado,
    actividad_reciente_pct, desempeno_historico_pct, created_at, updated_at
)
SELECT
    asesores.id,
    asesores.usuario_id,
    pg_temp.as_typed(ciudades.ciudad, pg_temp.draw(asesores.key, 21)) AS ciudad,
    ciudades.departamento,
    nombres.tipos_tienda[
        1 + pg_temp.pick(asesores.key, 22, cardinality(nombres.tipos_tienda))
    ] || ' ' || CASE
        WHEN pg_temp.draw(asesores.key, 23) < 0.5
            THEN nombres.lugares_tienda[
                1 + pg_temp.pick(asesores.key, 24, cardinality(nombres.lugares_tienda))
            ]
        ELSE nombres.apellidos[
            1 + pg_temp.pick(asesores.key, 12, cardinality(nombres.apellidos))
        ]
    END AS punto_venta,
    round(
        least(5, greatest(1, 2.2 + 2.6 * asesores.calidad + 0.3 * pg_temp.bell(asesores.key, 25)))
        ::numeric, 1
    ) AS confianza,
    CASE
        WHEN asesores.retirado_at IS NULL THEN 'ACTIVO'
        WHEN pg_temp.draw(asesores.key, 26) < 0.7 THEN 'INACTIVO'
        ELSE 'SUSPENDIDO'
    END AS estado,
    CASE
        WHEN asesores.retirado_at IS NULL THEN round((100 * asesores.actividad)::numeric, 2)
        ELSE 0
    END AS actividad_reciente_pct,
    round(
        least(100, greatest(0, 25 + 65 * asesores.calidad + 6 * pg_temp.bell(asesores.key, 27)))
        ::numeric, 2
    ) AS desempeno_historico_pct,
    run.first_day::timestamp AT TIME ZONE 'America/Bogota' AS created_at,
    coalesce(
        asesores.retirado_at, run.first_day::timestamp AT TIME ZONE 'America/Bogota'
    ) AS updated_at
FROM demo_asesores AS asesores
INNER JOIN demo_ciudades AS ciudades ON ciudades.number = asesores.ciudad_number
CROSS JOIN demo_nombres AS nombres
CROSS JOIN demo_run AS run;

-- An audit every four months or so, from 08:00 to 17:00.
WITH keys AS (
    SELECT
        asesores.id AS asesor_id,
        asesores.calidad,
        numbers.number,
        pg_temp.row_key(asesores.key, numbers.number) AS key
    FROM demo_asesores AS asesores
    CROSS JOIN generate_series(1, 10) AS numbers (number)
),

audits AS (
    SELECT
        run.auditores_key,
        run.moment,
        keys.key,
        keys.asesor_id,
        (
            run.first_day + 120 * (keys.number - 1) + pg_temp.pick(keys.key, 1, 120)
            + time '08:00'
        ) AT TIME ZONE 'America/Bogota'
        + pg_temp.seconds(32400 * pg_temp.draw(keys.key, 3)) AS fecha_revision,
        round(
            least(5, greatest(1, 2.0 + 2.8 * keys.calidad + 0.5 * pg_temp.bell(keys.key, 4)))
            ::numeric, 1
        ) AS puntaje
    FROM keys
    CROSS JOIN demo_run AS run
)

INSERT INTO public.auditorias_tiendas (
    id, asesor_id, auditor_id, fecha_revision, estado, puntaje_confianza, created_at, updated_at
)
SELECT
    pg_temp.row_id('auditoria', key) AS id,
    asesor_id,
    pg_temp.row_id(
        'usuario', pg_temp.row_key(auditores_key, 1 + pg_temp.pick(key, 2, 20))
    ) AS auditor_id,
    fecha_revision,
    CASE
        WHEN puntaje >= 3 THEN 'APROBADA'
        WHEN puntaje >= 2 THEN 'OBSERVACIONES'
        ELSE 'RECHAZADA'
    END AS estado,
    puntaje,
    fecha_revision AS created_at,
    fecha_revision AS updated_at
FROM audits
WHERE fecha_revision <= moment;

-- A quarter of the clients were there from the start; the others came evenly with the
-- requests, each before its first one: see cliente_number in generate_batch.sql.
CREATE TEMPORARY TABLE demo_clientes AS
WITH keys AS (
    SELECT
        numbers.number,
        pg_temp.row_key(run.clientes_key, numbers.number) AS key,
        greatest(
            1,
            floor(run.solicitudes * ((numbers.number - 1)::numeric / run.clientes - 0.25) / 0.75)
        )::bigint AS first_solicitud
    FROM demo_run AS run
    CROSS JOIN generate_series(1, run.clientes) AS numbers (number)
),

solicitudes AS (
    SELECT
        days.day,
        numbers.number
    FROM demo_days AS days
    CROSS JOIN generate_series(days.first_number, days.last_number) AS numbers (number)
)

SELECT
    keys.number,
    keys.key,
    slots.number AS ciudad_number,
    solicitudes.day::timestamp AT TIME ZONE 'America/Bogota' AS created_at
FROM keys
INNER JOIN demo_slots AS slots
    ON slots.kind = 'ciudad' AND slots.slot = pg_temp.pick(keys.key, 1, 5000)
INNER JOIN solicitudes ON solicitudes.number = keys.first_solicitud;

INSERT INTO public.usuarios (
    id, nombre, apellido, email, telefono, rol, estado, created_at, updated_at
)
SELECT
    pg_temp.row_id('usuario', people.key) AS id,
    people.nombre,
    people.apellido,
    CASE
        WHEN pg_temp.draw(people.key, 13) >= 0.25
            THEN
                lower(pg_temp.without_accents(people.nombre || '.' || people.apellido))
                || '.c' || people.number || '@example.com'
    END AS email,
    '+573' || lpad(pg_temp.pick(people.key, 14, 1000000000)::text, 9, '0') AS telefono,
    'CLIENT' AS rol,
    'ACTIVO' AS estado,
    people.created_at,
    people.created_at AS updated_at
FROM (
    SELECT
        clientes.key,
        clientes.number,
        clientes.created_at,
        nombres.nombres[1 + pg_temp.pick(clientes.key, 11, cardinality(nombres.nombres))]
            AS nombre,
        nombres.apellidos[1 + pg_temp.pick(clientes.key, 12, cardinality(nombres.apellidos))]
            AS apellido
    FROM demo_clientes AS clientes
    CROSS JOIN demo_nombres AS nombres
) AS people;

INSERT INTO public.clientes (
    id, usuario_id, ciudad, departamento, created_at, updated_at
)
SELECT
    pg_temp.row_id('cliente', clientes.key) AS id,
    pg_temp.row_id('usuario', clientes.key) AS usuario_id,
    pg_temp.as_typed(ciudades.ciudad, pg_temp.draw(clientes.key, 21)) AS ciudad,
    ciudades.departamento,
    clientes.created_at,
    clientes.created_at AS updated_at
FROM demo_clientes AS clientes
INNER JOIN demo_ciudades AS ciudades ON ciudades.number = clientes.ciudad_number;

DROP TABLE demo_clientes;
