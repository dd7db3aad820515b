-- Lists the operational tables whose changes are noted, and which key of a row is noted.
--
-- Invariant: triggers, clashes of ids and the check of declarations follow this list. The columns
-- that are read are in kpi_engine.source_contract().

CREATE OR REPLACE FUNCTION kpi_engine.noted_tables()
RETURNS TABLE (
    view_suffix text, table_in_b text, entity text, key_column text, fact_entity text
)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
ROWS 10
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $noted_tables$
    SELECT
        noted.view_suffix,
        coalesce(noted.table_in_b, noted.view_suffix),
        noted.entity,
        noted.key_column,
        -- The lines and awards of an offer change its request.
        CASE noted.entity WHEN 'oferta' THEN 'solicitud' ELSE noted.entity END
    FROM (
        VALUES
        ('usuarios', NULL, 'usuario', 'id'),
        ('asesores', NULL, 'asesor', 'id'),
        ('solicitudes', NULL, 'solicitud', 'id'),
        ('repuestos_solicitados', NULL, 'solicitud', 'solicitud_id'),
        ('ofertas', NULL, 'solicitud', 'solicitud_id'),
        ('ofertas_detalle', NULL, 'oferta', 'oferta_id'),
        ('adjudicaciones_repuesto', NULL, 'oferta', 'oferta_id'),
        ('ofertas_historicas', NULL, 'historica', 'id'),
        ('historial_respuestas_ofertas', NULL, 'notificacion', 'id'),
        ('auditorias_tiendas', 'auditoria_tiendas', 'auditoria', 'id')
    ) AS noted (view_suffix, table_in_b, entity, key_column);
$noted_tables$;

COMMENT ON FUNCTION kpi_engine.noted_tables() IS
'The operational tables whose changes are noted: the name of the src_ view without src_, the name '
'of the table in generation B, the entity and the column whose value is noted (by '
'kpi_engine.note_changed_<key_column>), the entity of the facts that change with it. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.noted_tables() FROM public;
