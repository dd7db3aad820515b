-- The operational tables of TeLOO, generation A, in schema public.
--
-- Demo and test material: the real tables belong to another service. Never part of
-- make migrate. Keys and indexes are in source_keys.sql: loading is faster without them.

CREATE TABLE public.usuarios (
    id uuid NOT NULL,
    nombre varchar(100) NOT NULL,
    apellido varchar(100) NOT NULL,
    email varchar(255),
    telefono varchar(15) NOT NULL,
    rol varchar(7) NOT NULL DEFAULT 'CLIENT',
    estado varchar(10) NOT NULL DEFAULT 'ACTIVO',
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.clientes (
    id uuid NOT NULL,
    usuario_id uuid NOT NULL,
    ciudad varchar(100) NOT NULL,
    departamento varchar(100) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.asesores (
    id uuid NOT NULL,
    usuario_id uuid NOT NULL,
    ciudad varchar(100) NOT NULL,
    departamento varchar(100) NOT NULL,
    punto_venta varchar(200) NOT NULL,
    confianza numeric(3, 1) NOT NULL DEFAULT 3.0,
    estado varchar(10) NOT NULL DEFAULT 'ACTIVO',
    actividad_reciente_pct numeric(5, 2) NOT NULL DEFAULT 0,
    desempeno_historico_pct numeric(5, 2) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.solicitudes (
    id uuid NOT NULL,
    cliente_id uuid NOT NULL,
    estado varchar(19) NOT NULL DEFAULT 'ABIERTA',
    nivel_actual integer NOT NULL DEFAULT 1,
    ciudad_origen varchar(100) NOT NULL,
    departamento_origen varchar(100) NOT NULL,
    cliente_acepto boolean,
    fecha_respuesta_cliente timestamptz,
    fecha_evaluacion timestamptz,
    fecha_expiracion timestamptz,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.repuestos_solicitados (
    id uuid NOT NULL,
    solicitud_id uuid NOT NULL,
    nombre varchar(200) NOT NULL,
    marca_vehiculo varchar(50) NOT NULL,
    linea_vehiculo varchar(100) NOT NULL,
    anio_vehiculo integer NOT NULL,
    cantidad integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.ofertas (
    id uuid NOT NULL,
    solicitud_id uuid NOT NULL,
    asesor_id uuid NOT NULL,
    tiempo_entrega_dias integer NOT NULL,
    estado varchar(15) NOT NULL DEFAULT 'ENVIADA',
    monto_total numeric(15, 2) NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.ofertas_detalle (
    id uuid NOT NULL,
    oferta_id uuid NOT NULL,
    repuesto_solicitado_id uuid NOT NULL,
    precio_unitario numeric(12, 2) NOT NULL,
    cantidad integer NOT NULL DEFAULT 1,
    garantia_meses integer NOT NULL,
    tiempo_entrega_dias integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.adjudicaciones_repuesto (
    id uuid NOT NULL,
    solicitud_id uuid NOT NULL,
    oferta_id uuid NOT NULL,
    repuesto_solicitado_id uuid NOT NULL,
    precio_adjudicado numeric(12, 2) NOT NULL,
    cantidad_adjudicada integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.ofertas_historicas (
    id uuid NOT NULL,
    asesor_id uuid NOT NULL,
    solicitud_id uuid NOT NULL,
    fecha date NOT NULL,
    monto_total numeric(15, 2) NOT NULL,
    cantidad_repuestos integer NOT NULL,
    tiempo_respuesta_seg integer NOT NULL,
    adjudicada boolean NOT NULL DEFAULT false,
    aceptada_cliente boolean NOT NULL DEFAULT false,
    entrega_exitosa boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.historial_respuestas_ofertas (
    id uuid NOT NULL,
    asesor_id uuid NOT NULL,
    solicitud_id uuid NOT NULL,
    fecha_envio timestamptz NOT NULL,
    fecha_vista timestamptz,
    fecha_respuesta timestamptz,
    respondio boolean NOT NULL DEFAULT false,
    tiempo_respuesta_seg integer,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.auditorias_tiendas (
    id uuid NOT NULL,
    asesor_id uuid NOT NULL,
    auditor_id uuid,
    fecha_revision timestamptz NOT NULL,
    estado varchar(13) NOT NULL,
    puntaje_confianza numeric(3, 1) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    updated_at timestamptz NOT NULL DEFAULT current_timestamp
);
