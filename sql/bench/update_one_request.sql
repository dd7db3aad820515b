-- One request of today gets another state. Setting of the session: bench.salt, which one.

UPDATE public.solicitudes SET
    estado = CASE solicitudes.estado
        WHEN 'OFERTAS_ACEPTADAS' THEN 'OFERTAS_RECHAZADAS'
        ELSE 'OFERTAS_ACEPTADAS'
    END,
    cliente_acepto = solicitudes.estado <> 'OFERTAS_ACEPTADAS'
WHERE solicitudes.id = (
    SELECT recent.id
    FROM public.solicitudes AS recent
    WHERE
        recent.created_at
        >= (current_setting('bench.today')::date - 3)::timestamp AT TIME ZONE 'America/Bogota'
    ORDER BY recent.created_at
    LIMIT 1 OFFSET length(current_setting('bench.salt'))
);
