-- The contract with the operational database: each table and column that is read.
--
-- Invariant: nothing else is read. A column is needed in the generations that its row names. In
-- another generation it is used if it exists, and is NULL if it does not. docs/source.md has the
-- list in words.

CREATE OR REPLACE FUNCTION kpi_engine.source_contract()
RETURNS TABLE (
    view_name text,
    column_position integer,
    column_name text,
    value_kind text,
    needed_in text,
    table_in_a text,
    table_in_b text
)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $source_contract$
    SELECT
        'src_' || contract.table_name,
        (row_number() OVER ())::integer,
        contract.column_name,
        contract.value_kind,
        contract.needed_in,
        contract.table_name,
        CASE contract.table_name
            WHEN 'auditorias_tiendas' THEN 'auditoria_tiendas'
            ELSE contract.table_name
        END
    FROM (VALUES
        ('usuarios', 'id', 'uuid', 'AB'),
        ('usuarios', 'nombre', 'text', 'AB'),
        ('usuarios', 'apellido', 'text', 'A'),
        ('usuarios', 'email', 'text', 'AB'),
        ('asesores', 'id', 'uuid', 'AB'),
        ('asesores', 'usuario_id', 'uuid', 'AB'),
        ('asesores', 'ciudad', 'text', 'AB'),
        ('asesores', 'departamento', 'text', 'AB'),
        ('asesores', 'punto_venta', 'text', 'AB'),
        ('asesores', 'confianza', 'numeric', 'AB'),
        ('asesores', 'nivel_actual', 'integer', ''),
        ('asesores', 'estado', 'text', 'AB'),
        ('asesores', 'actividad_reciente_pct', 'numeric', 'AB'),
        ('asesores', 'desempeno_historico_pct', 'numeric', 'AB'),
        ('asesores', 'created_at', 'instant', 'AB'),
        ('solicitudes', 'id', 'uuid', 'AB'),
        ('solicitudes', 'cliente_id', 'uuid', 'AB'),
        ('solicitudes', 'estado', 'text', 'AB'),
        ('solicitudes', 'nivel_actual', 'integer', ''),
        ('solicitudes', 'ciudad_origen', 'text', ''),
        ('solicitudes', 'cliente_acepto', 'boolean', 'A'),
        ('solicitudes', 'fecha_respuesta_cliente', 'instant', 'A'),
        ('solicitudes', 'fecha_evaluacion', 'instant', ''),
        ('solicitudes', 'created_at', 'instant', 'AB'),
        ('solicitudes', 'created_at', 'instant as stored', 'AB'),
        ('solicitudes', 'updated_at', 'instant', 'AB'),
        ('repuestos_solicitados', 'id', 'uuid', 'AB'),
        ('repuestos_solicitados', 'solicitud_id', 'uuid', 'AB'),
        ('repuestos_solicitados', 'marca_vehiculo', 'text', 'AB'),
        ('ofertas', 'id', 'uuid', 'AB'),
        ('ofertas', 'solicitud_id', 'uuid', 'AB'),
        ('ofertas', 'asesor_id', 'uuid', 'AB'),
        ('ofertas', 'tiempo_entrega_dias', 'integer', 'AB'),
        ('ofertas', 'estado', 'text', 'AB'),
        ('ofertas', 'created_at', 'instant', 'AB'),
        ('ofertas', 'created_at', 'instant as stored', 'AB'),
        ('ofertas_detalle', 'id', 'uuid', 'AB'),
        ('ofertas_detalle', 'oferta_id', 'uuid', 'AB'),
        ('ofertas_detalle', 'repuesto_solicitado_id', 'uuid', 'AB'),
        ('ofertas_detalle', 'precio_unitario', 'numeric', 'AB'),
        ('ofertas_detalle', 'cantidad', 'integer', 'AB'),
        ('ofertas_detalle', 'garantia_meses', 'integer', 'AB'),
        ('adjudicaciones_repuesto', 'id', 'uuid', 'AB'),
        ('adjudicaciones_repuesto', 'oferta_id', 'uuid', 'AB'),
        ('adjudicaciones_repuesto', 'repuesto_solicitado_id', 'uuid', 'AB'),
        ('ofertas_historicas', 'id', 'uuid', 'AB'),
        ('ofertas_historicas', 'asesor_id', 'uuid', 'AB'),
        ('ofertas_historicas', 'fecha', 'day', 'AB'),
        ('ofertas_historicas', 'monto_total', 'numeric', 'AB'),
        ('ofertas_historicas', 'tiempo_respuesta_seg', 'integer', 'AB'),
        ('ofertas_historicas', 'adjudicada', 'boolean', 'AB'),
        ('ofertas_historicas', 'aceptada_cliente', 'boolean', 'AB'),
        ('ofertas_historicas', 'entrega_exitosa', 'boolean', 'AB'),
        ('historial_respuestas_ofertas', 'id', 'uuid', 'AB'),
        ('historial_respuestas_ofertas', 'asesor_id', 'uuid', 'AB'),
        ('historial_respuestas_ofertas', 'fecha_envio', 'instant', 'AB'),
        ('historial_respuestas_ofertas', 'respondio', 'boolean', 'AB'),
        ('historial_respuestas_ofertas', 'tiempo_respuesta_seg', 'integer', 'AB'),
        ('auditorias_tiendas', 'id', 'uuid', 'AB'),
        ('auditorias_tiendas', 'asesor_id', 'uuid', 'AB'),
        ('auditorias_tiendas', 'fecha_revision', 'instant', 'AB'),
        ('auditorias_tiendas', 'puntaje_confianza', 'numeric', 'AB')
    ) AS contract (table_name, column_name, value_kind, needed_in);
$source_contract$;

COMMENT ON FUNCTION kpi_engine.source_contract() IS
'Every table and column of the operational database that this package reads, the kind of '
'value expected there, and the generations (A, B) in which it is needed.';

REVOKE ALL ON FUNCTION kpi_engine.source_contract() FROM public;
