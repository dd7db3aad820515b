-- What a KPI needs to know of each request, from the source.
--
-- Invariant: every request, offer, line and part is counted once: each one-to-many relation is
-- brought to one row per request by itself. The engine puts its condition on ids where
-- src_solicitudes is read.

CREATE OR REPLACE VIEW kpi_engine.recomputed_solicitud_facts AS
-- Read first, so that the planner knows how many there are.
WITH request AS MATERIALIZED (
    SELECT
        src_solicitudes.id,
        src_solicitudes.cliente_id,
        src_solicitudes.estado,
        src_solicitudes.nivel_actual,
        src_solicitudes.ciudad_origen,
        src_solicitudes.cliente_acepto,
        src_solicitudes.fecha_respuesta_cliente,
        src_solicitudes.fecha_evaluacion,
        src_solicitudes.created_at,
        src_solicitudes.updated_at,
        kpi_engine.local_date(
            src_solicitudes.created_at, (SELECT analytics.setting('time_zone'))
        ) AS created_on
    FROM kpi_engine.src_solicitudes
),

-- If the key of ofertas is gone, two rows with one id are two offers, also if they are equal.
offer AS MATERIALIZED (
    SELECT
        row_number() OVER () AS number,
        src_ofertas.id,
        src_ofertas.solicitud_id,
        src_ofertas.asesor_id,
        src_ofertas.estado,
        src_ofertas.tiempo_entrega_dias,
        src_ofertas.created_at
    FROM request
    INNER JOIN kpi_engine.src_ofertas ON src_ofertas.solicitud_id = request.id
),

-- An award without a part makes its offer a winner, and none of its lines.
-- The awards are joined first and grouped then. If they are grouped first, the planner guesses
-- thousands of times too many rows for the join, and reads all lines of all offers.
judged_offer AS MATERIALIZED (
    SELECT
        offer.id,
        offer.solicitud_id,
        offer.asesor_id,
        offer.estado,
        offer.tiempo_entrega_dias,
        offer.created_at,
        count(src_adjudicaciones_repuesto.oferta_id) > 0 AS has_award,
        array_agg(src_adjudicaciones_repuesto.repuesto_solicitado_id) FILTER (
            WHERE src_adjudicaciones_repuesto.oferta_id IS NOT NULL
        ) AS awarded_parts,
        coalesce(offer.estado IN ('GANADORA', 'ACEPTADA'), false) AS is_selected
    FROM offer
    LEFT JOIN kpi_engine.src_adjudicaciones_repuesto
        ON src_adjudicaciones_repuesto.oferta_id = offer.id
    GROUP BY
        offer.number,
        offer.id,
        offer.solicitud_id,
        offer.asesor_id,
        offer.estado,
        offer.tiempo_entrega_dias,
        offer.created_at
),

offers_of_asesor AS (
    SELECT
        judged_offer.solicitud_id,
        judged_offer.asesor_id,
        count(*)::integer AS offers,
        count(*) FILTER (
            WHERE judged_offer.is_selected OR judged_offer.has_award
        )::integer AS offers_won,
        count(*) FILTER (WHERE judged_offer.estado = 'ACEPTADA')::integer AS offers_accepted,
        count(*) FILTER (WHERE judged_offer.estado = 'ENVIADA')::integer AS offers_pending,
        count(judged_offer.tiempo_entrega_dias)::integer AS delivery_days_count,
        sum(judged_offer.tiempo_entrega_dias) AS delivery_days_sum,
        min(judged_offer.created_at) AS first_offer_at
    FROM judged_offer
    GROUP BY judged_offer.solicitud_id, judged_offer.asesor_id
),

-- Few offers are accepted: their lines are read twice.
accepted_of_asesor AS (
    SELECT
        judged_offer.solicitud_id,
        judged_offer.asesor_id,
        sum(src_ofertas_detalle.precio_unitario * src_ofertas_detalle.cantidad) AS amount
    FROM judged_offer
    INNER JOIN kpi_engine.src_ofertas_detalle ON src_ofertas_detalle.oferta_id = judged_offer.id
    WHERE judged_offer.estado = 'ACEPTADA' AND judged_offer.asesor_id IS NOT NULL
    GROUP BY judged_offer.solicitud_id, judged_offer.asesor_id
),

-- The arrays have one place for each advisor, in the same order; NULL stands for what is usual.
offers AS (
    SELECT
        offers_of_asesor.solicitud_id,
        sum(offers_of_asesor.offers)::integer AS offers,
        sum(offers_of_asesor.offers_won)::integer AS offers_won,
        sum(offers_of_asesor.offers_accepted)::integer AS offers_accepted,
        sum(offers_of_asesor.offers_pending)::integer AS offers_pending,
        sum(offers_of_asesor.delivery_days_count)::integer AS delivery_days_count,
        sum(offers_of_asesor.delivery_days_sum) AS delivery_days_sum,
        min(offers_of_asesor.first_offer_at) AS first_offer_at,
        array_agg(offers_of_asesor.asesor_id ORDER BY offers_of_asesor.asesor_id) FILTER (
            WHERE offers_of_asesor.asesor_id IS NOT NULL
        ) AS asesor_ids,
        CASE
            WHEN
                max(offers_of_asesor.offers) FILTER (
                    WHERE offers_of_asesor.asesor_id IS NOT NULL
                ) > 1
                THEN array_agg(
                    offers_of_asesor.offers ORDER BY offers_of_asesor.asesor_id
                ) FILTER (WHERE offers_of_asesor.asesor_id IS NOT NULL)
        END AS asesor_offers,
        CASE
            WHEN
                max(offers_of_asesor.offers_won) FILTER (
                    WHERE offers_of_asesor.asesor_id IS NOT NULL
                ) > 0
                THEN array_agg(
                    offers_of_asesor.offers_won ORDER BY offers_of_asesor.asesor_id
                ) FILTER (WHERE offers_of_asesor.asesor_id IS NOT NULL)
        END AS asesor_offers_won,
        CASE
            WHEN count(accepted_of_asesor.amount) > 0
                THEN array_agg(
                    accepted_of_asesor.amount ORDER BY offers_of_asesor.asesor_id
                ) FILTER (WHERE offers_of_asesor.asesor_id IS NOT NULL)
        END AS asesor_accepted_amounts
    FROM offers_of_asesor
    LEFT JOIN accepted_of_asesor
        ON
            accepted_of_asesor.solicitud_id = offers_of_asesor.solicitud_id
            AND accepted_of_asesor.asesor_id = offers_of_asesor.asesor_id
    GROUP BY offers_of_asesor.solicitud_id
),

line AS (
    SELECT
        judged_offer.solicitud_id,
        judged_offer.estado,
        src_ofertas_detalle.precio_unitario,
        src_ofertas_detalle.garantia_meses,
        src_ofertas_detalle.precio_unitario * src_ofertas_detalle.cantidad AS amount,
        CASE
            WHEN judged_offer.has_award
                THEN
                    judged_offer.awarded_parts
                    @> ARRAY[src_ofertas_detalle.repuesto_solicitado_id]
            ELSE judged_offer.is_selected
        END AS is_awarded
    FROM judged_offer
    INNER JOIN kpi_engine.src_ofertas_detalle ON src_ofertas_detalle.oferta_id = judged_offer.id
),

lines AS (
    SELECT
        line.solicitud_id,
        count(line.precio_unitario)::integer AS price_count,
        sum(line.precio_unitario) AS price_sum,
        min(line.precio_unitario) AS price_minimum,
        max(line.precio_unitario) AS price_maximum,
        count(line.garantia_meses)::integer AS warranty_months_count,
        sum(line.garantia_meses) AS warranty_months_sum,
        sum(line.amount) AS offered_amount,
        sum(line.amount) FILTER (WHERE line.is_awarded) AS awarded_amount,
        sum(line.amount) FILTER (WHERE line.estado = 'ACEPTADA') AS accepted_amount,
        sum(line.amount) FILTER (
            WHERE line.is_awarded AND line.estado = 'ACEPTADA'
        ) AS awarded_accepted_amount
    FROM line
    GROUP BY line.solicitud_id
),

parts AS (
    SELECT
        branded.solicitud_id,
        array_agg(DISTINCT branded.marca) AS marcas
    FROM (
        SELECT
            request.id AS solicitud_id,
            upper(
                kpi_engine.trim_white_space(src_repuestos_solicitados.marca_vehiculo)
            ) AS marca
        FROM request
        INNER JOIN kpi_engine.src_repuestos_solicitados
            ON src_repuestos_solicitados.solicitud_id = request.id
    ) AS branded
    WHERE branded.marca <> ''
    GROUP BY branded.solicitud_id
),

-- Few cities in many requests: each spelling is brought to its key once.
city AS MATERIALIZED (
    SELECT
        spelling.ciudad_origen,
        analytics.city_key(spelling.ciudad_origen) AS ciudad_key
    FROM (SELECT DISTINCT request.ciudad_origen FROM request) AS spelling
),

dated AS (
    SELECT
        request.*,
        city.ciudad_key,
        CASE
            WHEN request.created_on BETWEEN date '2000-01-01' AND date '2099-12-31'
                THEN request.created_on
            ELSE date '-infinity'
        END AS local_day
    FROM request
    LEFT JOIN city ON city.ciudad_origen = request.ciudad_origen
)

SELECT
    dated.id AS solicitud_id,
    dated.local_day,
    date_trunc('month', dated.local_day::timestamp)::date AS mes,
    dated.nivel_actual::integer AS nivel_actual,
    dated.cliente_id,
    dated.ciudad_origen AS ciudad,
    coalesce(offers.offers, 0) AS offers,
    coalesce(offers.offers_won, 0) AS offers_won,
    coalesce(offers.offers_accepted, 0) AS offers_accepted,
    coalesce(offers.offers_pending, 0) AS offers_pending,
    coalesce(offers.delivery_days_count, 0) AS delivery_days_count,
    coalesce(lines.price_count, 0) AS price_count,
    coalesce(lines.warranty_months_count, 0) AS warranty_months_count,
    coalesce(
        dated.cliente_acepto, dated.estado IN ('OFERTAS_ACEPTADAS', 'ACEPTADA'), false
    ) AS is_accepted,
    coalesce(
        NOT dated.cliente_acepto, dated.estado IN ('OFERTAS_RECHAZADAS', 'RECHAZADA'), false
    ) AS is_rejected,
    dated.estado,
    dated.ciudad_key,
    -- Without a month it counts nowhere, and the difference may be out of range.
    CASE
        WHEN isfinite(dated.local_day) AND dated.estado IN (
            'OFERTAS_ACEPTADAS', 'OFERTAS_RECHAZADAS', 'ACEPTADA', 'RECHAZADA',
            'EXPIRADA', 'CERRADA_SIN_OFERTAS'
        ) THEN extract(
            EPOCH FROM
            coalesce(dated.fecha_respuesta_cliente, dated.updated_at) - dated.created_at
        )
    END AS closing_seconds,
    -- As numbers: between the first and the last instant there is more than an interval can hold.
    CASE
        WHEN isfinite(dated.local_day)
            THEN extract(EPOCH FROM offers.first_offer_at) - extract(EPOCH FROM dated.created_at)
    END AS first_offer_seconds,
    CASE
        WHEN isfinite(dated.local_day)
            THEN extract(EPOCH FROM dated.fecha_evaluacion) - extract(EPOCH FROM dated.created_at)
    END AS evaluation_seconds,
    CASE
        WHEN isfinite(dated.local_day)
            THEN
                extract(EPOCH FROM dated.fecha_respuesta_cliente)
                - extract(EPOCH FROM dated.fecha_evaluacion)
    END AS answer_seconds,
    coalesce(offers.delivery_days_sum, 0) AS delivery_days_sum,
    coalesce(lines.price_sum, 0) AS price_sum,
    lines.price_minimum,
    lines.price_maximum,
    coalesce(lines.warranty_months_sum, 0) AS warranty_months_sum,
    coalesce(lines.offered_amount, 0) AS offered_amount,
    coalesce(lines.awarded_amount, 0) AS awarded_amount,
    coalesce(lines.accepted_amount, 0) AS accepted_amount,
    coalesce(lines.awarded_accepted_amount, 0) AS awarded_accepted_amount,
    coalesce(offers.asesor_ids, ARRAY[]::uuid[]) AS asesor_ids,
    offers.asesor_offers,
    offers.asesor_offers_won,
    offers.asesor_accepted_amounts,
    coalesce(parts.marcas, ARRAY[]::text[]) AS marcas
FROM dated
LEFT JOIN offers ON offers.solicitud_id = dated.id
LEFT JOIN lines ON lines.solicitud_id = dated.id
LEFT JOIN parts ON parts.solicitud_id = dated.id;

COMMENT ON VIEW kpi_engine.recomputed_solicitud_facts IS
'One row per request: everything that a KPI needs to know of it.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.solicitud_id IS 'The request.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.local_day IS
'Local date of created_at; -infinity where it is NULL or not in the years 2000 to 2099.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.mes IS
'First day of the month of local_day.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.nivel_actual IS
'solicitudes.nivel_actual; NULL where the source has no such column.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.cliente_id IS 'The client.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.offers IS 'Its offers.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.offers_won IS
'Offers that were ever selected: estado GANADORA or ACEPTADA, or with an adjudication.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.offers_accepted IS
'Offers with estado ACEPTADA.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.offers_pending IS
'Offers with estado ENVIADA.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.delivery_days_count IS
'Offers with a tiempo_entrega_dias.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.price_count IS 'Offer lines with a price.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.warranty_months_count IS
'Offer lines with a garantia_meses.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.is_accepted IS
'cliente_acepto; where it is NULL, estado OFERTAS_ACEPTADAS or ACEPTADA.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.is_rejected IS
'Not cliente_acepto; where it is NULL, estado OFERTAS_RECHAZADAS or RECHAZADA.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.estado IS 'State of the request.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.ciudad_key IS
'analytics.city_key(ciudad_origen).';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.closing_seconds IS
'Seconds from created_at to closing; NULL where the request is not closed or has no month.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.ciudad IS
'ciudad_origen, as stored.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.first_offer_seconds IS
'Seconds from created_at to the earliest created_at of its offers.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.evaluation_seconds IS
'Seconds from created_at to fecha_evaluacion; NULL where the source has no such column.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.answer_seconds IS
'Seconds from fecha_evaluacion to fecha_respuesta_cliente.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.delivery_days_sum IS
'Sum of tiempo_entrega_dias of its offers.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.price_sum IS
'Sum of precio_unitario of the lines of its offers, in pesos.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.price_minimum IS 'Lowest of these prices.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.price_maximum IS 'Highest of these prices.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.warranty_months_sum IS
'Sum of garantia_meses of the lines.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.offered_amount IS
'Sum of precio_unitario × cantidad over all lines of its offers, in pesos.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.awarded_amount IS
'The same over the awarded lines: those whose part was awarded to their offer; of a selected offer '
'without any award, all.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.accepted_amount IS
'Sum of precio_unitario × cantidad over the lines of accepted offers, in pesos.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.awarded_accepted_amount IS
'The same over the awarded lines of accepted offers.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.asesor_ids IS
'Distinct advisors with an offer, in order.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.asesor_offers IS
'Offers of each advisor of asesor_ids; NULL where each has one.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.asesor_offers_won IS
'Offers of each advisor of asesor_ids that were ever selected; NULL where none was.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.asesor_accepted_amounts IS
'Sum of precio_unitario × cantidad over the lines of the accepted offers of each advisor of '
'asesor_ids, in pesos; NULL where there is none.';
COMMENT ON COLUMN kpi_engine.recomputed_solicitud_facts.marcas IS
'Distinct vehicle brands of its parts, trimmed and upper-cased.';

REVOKE ALL ON kpi_engine.recomputed_solicitud_facts FROM public;

SELECT kpi_engine.declare_derived_table(
    'solicitud_facts', 'key', ARRAY['solicitud_id'],
    p_source_view => 'src_solicitudes',
    p_entities => '{"solicitud": "solicitud_id"}',
    p_indexes => ARRAY['local_day']
);
