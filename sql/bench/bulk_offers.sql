-- 10,000 offers in one statement, as an import would do it; for write_fixtures.sql.

INSERT INTO public.ofertas (id, solicitud_id, asesor_id, tiempo_entrega_dias, monto_total)
SELECT
    gen_random_uuid() AS id,
    md5('solicitud ' || numbers.number % 5000)::uuid AS solicitud_id,
    md5('asesor ' || numbers.number % 1000)::uuid AS asesor_id,
    3 AS tiempo_entrega_dias,
    250000 AS monto_total
FROM generate_series(1, 10000) AS numbers (number);
