-- Finance, all of history, as a good hand-written query.
--
-- The baseline of scripts/bench.py: straight from the tables, numbers of the demo (no NaN, no NULL
-- parent).

WITH award AS (
    SELECT
        adjudicaciones_repuesto.oferta_id,
        array_agg(adjudicaciones_repuesto.repuesto_solicitado_id) AS parts
    FROM public.adjudicaciones_repuesto
    GROUP BY adjudicaciones_repuesto.oferta_id
),

line AS (
    SELECT
        date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota') AS mes,
        ofertas.estado,
        ofertas_detalle.precio_unitario * ofertas_detalle.cantidad AS amount,
        CASE
            WHEN award.oferta_id IS NULL THEN ofertas.estado IN ('GANADORA', 'ACEPTADA')
            ELSE award.parts @> ARRAY[ofertas_detalle.repuesto_solicitado_id]
        END AS is_awarded
    FROM public.solicitudes
    INNER JOIN public.ofertas ON ofertas.solicitud_id = solicitudes.id
    LEFT JOIN award ON award.oferta_id = ofertas.id
    INNER JOIN public.ofertas_detalle ON ofertas_detalle.oferta_id = ofertas.id
),

line_month AS (
    SELECT
        line.mes,
        sum(line.amount) AS offered,
        sum(line.amount) FILTER (WHERE line.is_awarded) AS awarded,
        sum(line.amount) FILTER (WHERE line.is_awarded AND line.estado = 'ACEPTADA') AS accepted
    FROM line
    GROUP BY line.mes
),

request AS (
    SELECT
        date_trunc('month', solicitudes.created_at AT TIME ZONE 'America/Bogota') AS mes,
        coalesce(
            solicitudes.cliente_acepto, solicitudes.estado IN ('OFERTAS_ACEPTADAS', 'ACEPTADA')
        ) AS is_accepted
    FROM public.solicitudes
    WHERE
        solicitudes.created_at >= timestamptz '2000-01-01 00:00:00-05'
        AND solicitudes.created_at < timestamptz '2100-01-01 00:00:00-05'
),

request_month AS (
    SELECT
        request.mes,
        count(*) FILTER (WHERE request.is_accepted) AS accepted
    FROM request
    GROUP BY request.mes
),

calendar AS (
    SELECT
        generate_series(
            min(request_month.mes), max(request_month.mes), interval '1 month'
        ) AS mes
    FROM request_month
),

months AS (
    SELECT
        calendar.mes,
        coalesce(line_month.offered, 0) AS offered,
        coalesce(line_month.awarded, 0) AS awarded,
        coalesce(line_month.accepted, 0) AS accepted,
        coalesce(request_month.accepted, 0) AS requests_accepted,
        lag(coalesce(line_month.accepted, 0)) OVER (ORDER BY calendar.mes) AS accepted_before
    FROM calendar
    LEFT JOIN line_month ON line_month.mes = calendar.mes
    LEFT JOIN request_month ON request_month.mes = calendar.mes
)

SELECT
    months.mes::date AS mes,
    months.offered AS valor_bruto_ofertado,
    months.awarded AS valor_bruto_adjudicado,
    months.accepted AS valor_bruto_aceptado,
    months.requests_accepted AS solicitudes_aceptadas,
    kpi_engine.rounded_quotient(months.accepted, months.requests_accepted) AS ticket_promedio,
    kpi_engine.percentage(months.awarded, months.offered) AS tasa_adjudicacion_valor_pct,
    kpi_engine.percentage(
        months.awarded - months.accepted, months.awarded
    ) AS tasa_fuga_valor_pct,
    kpi_engine.rounded_quotient(
        100 * (months.accepted - months.accepted_before), months.accepted_before
    ) AS crecimiento_mensual_pct,
    sum(months.accepted) OVER (
        PARTITION BY date_trunc('year', months.mes) ORDER BY months.mes
    ) AS acumulado_anual
FROM months
