-- One request on each of 274 days, a quarter of all days of 36 months, gets another state.
-- Settings of the session: bench.today, and bench.salt, which requests.

WITH days AS (
    SELECT
        (
            current_setting('bench.today')::date - numbers.number * 15 / 4
            - length(current_setting('bench.salt'))
        )::timestamp AT TIME ZONE 'America/Bogota' AS day_start
    FROM generate_series(1, 274) AS numbers (number)
),

chosen AS (
    SELECT (
        SELECT request.id
        FROM public.solicitudes AS request
        WHERE request.created_at >= days.day_start
        ORDER BY request.created_at
        LIMIT 1
    ) AS id
    FROM days
)

UPDATE public.solicitudes SET
    estado = CASE solicitudes.estado
        WHEN 'OFERTAS_ACEPTADAS' THEN 'OFERTAS_RECHAZADAS'
        ELSE 'OFERTAS_ACEPTADAS'
    END,
    cliente_acepto = solicitudes.estado <> 'OFERTAS_ACEPTADAS'
FROM chosen
WHERE solicitudes.id = chosen.id;
