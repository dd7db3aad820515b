-- Clients, advisors, parts and offers whose ids pgbench can compute, for the scripts *.pgbench:
-- the bench measures writes, not look-ups. The advisors are not active, so not ranked.

INSERT INTO public.usuarios (id, nombre, apellido, telefono, rol)
SELECT
    md5(kind.kind || ' usuario ' || numbers.number)::uuid AS id,
    'Bench' AS nombre,
    kind.kind AS apellido,
    '3000000000' AS telefono,
    'CLIENT' AS rol
FROM (VALUES ('cliente'), ('asesor')) AS kind (kind)
CROSS JOIN generate_series(0, 999) AS numbers (number);

INSERT INTO public.clientes (id, usuario_id, ciudad, departamento)
SELECT
    md5('cliente ' || numbers.number)::uuid AS id,
    md5('cliente usuario ' || numbers.number)::uuid AS usuario_id,
    'Bogotá' AS ciudad,
    'Cundinamarca' AS departamento
FROM generate_series(0, 999) AS numbers (number);

INSERT INTO public.asesores (id, usuario_id, ciudad, departamento, punto_venta, estado)
SELECT
    md5('asesor ' || numbers.number)::uuid AS id,
    md5('asesor usuario ' || numbers.number)::uuid AS usuario_id,
    'Bogotá' AS ciudad,
    'Cundinamarca' AS departamento,
    'Bench' AS punto_venta,
    'INACTIVO' AS estado
FROM generate_series(0, 999) AS numbers (number);

INSERT INTO public.solicitudes (id, cliente_id, ciudad_origen, departamento_origen)
SELECT
    md5('solicitud ' || numbers.number)::uuid AS id,
    md5('cliente ' || numbers.number % 1000)::uuid AS cliente_id,
    'Bogotá' AS ciudad_origen,
    'Cundinamarca' AS departamento_origen
FROM generate_series(0, 4999) AS numbers (number);

INSERT INTO public.repuestos_solicitados (
    id, solicitud_id, nombre, marca_vehiculo, linea_vehiculo, anio_vehiculo
)
SELECT
    md5('repuesto ' || numbers.number)::uuid AS id,
    md5('solicitud ' || numbers.number)::uuid AS solicitud_id,
    'Pastillas de freno' AS nombre,
    'Renault' AS marca_vehiculo,
    'Logan' AS linea_vehiculo,
    2020 AS anio_vehiculo
FROM generate_series(0, 4999) AS numbers (number);

INSERT INTO public.ofertas (id, solicitud_id, asesor_id, tiempo_entrega_dias)
SELECT
    md5('oferta ' || numbers.number)::uuid AS id,
    md5('solicitud ' || numbers.number % 5000)::uuid AS solicitud_id,
    md5('asesor ' || numbers.number % 1000)::uuid AS asesor_id,
    3 AS tiempo_entrega_dias
FROM generate_series(0, 19999) AS numbers (number);
