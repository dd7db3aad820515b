-- Where generate_batch.sql works out the requests of one batch before it stores them.

CREATE TEMPORARY TABLE batch_solicitudes (
    number bigint NOT NULL,
    key bigint NOT NULL,
    id uuid NOT NULL,
    cliente_id uuid NOT NULL,
    ciudad_number integer NOT NULL,
    created_at timestamptz NOT NULL,
    -- What becomes of it, as far as there are offers to evaluate and the moment is past.
    evaluada_at timestamptz NOT NULL,
    expira_at timestamptz NOT NULL,
    decidida_at timestamptz NOT NULL,
    decision text NOT NULL
);

CREATE TEMPORARY TABLE batch_repuestos (
    number bigint NOT NULL,
    part integer NOT NULL,
    key bigint NOT NULL,
    id uuid NOT NULL,
    nombre text NOT NULL,
    marca text NOT NULL,
    linea text NOT NULL,
    anio integer NOT NULL,
    cantidad integer NOT NULL,
    precio double precision NOT NULL
);

CREATE TEMPORARY TABLE batch_ofertas (
    number bigint NOT NULL,
    key bigint NOT NULL,
    id uuid NOT NULL,
    asesor_id uuid NOT NULL,
    calidad double precision NOT NULL,
    nivel_precios double precision NOT NULL,
    enviado_at timestamptz NOT NULL,
    segundos integer,
    created_at timestamptz,
    estado_propio text
);

CREATE TEMPORARY TABLE batch_detalle (
    number bigint NOT NULL,
    oferta_key bigint NOT NULL,
    oferta_id uuid NOT NULL,
    repuesto_id uuid NOT NULL,
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    precio_unitario numeric(12, 2) NOT NULL,
    cantidad integer NOT NULL,
    garantia_meses integer NOT NULL,
    tiempo_entrega_dias integer NOT NULL,
    puntaje double precision
);

CREATE TEMPORARY TABLE batch_adjudicaciones (
    number bigint NOT NULL,
    oferta_id uuid NOT NULL,
    repuesto_id uuid NOT NULL,
    precio_unitario numeric(12, 2) NOT NULL,
    cantidad integer NOT NULL
);
