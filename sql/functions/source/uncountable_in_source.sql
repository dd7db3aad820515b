-- Lists the rows of the source with values that can't be counted.
--
-- Invariant: only this function goes through all src_ views for them. For a request it looks at all
-- rows that belong to it, by index. p_everything reads whole tables.

CREATE OR REPLACE FUNCTION kpi_engine.uncountable_in_source(
    p_everything boolean,
    p_solicitud_ids uuid[] DEFAULT NULL,
    p_asesor_ids uuid[] DEFAULT NULL,
    p_usuario_ids uuid[] DEFAULT NULL,
    p_historica_ids uuid[] DEFAULT NULL,
    p_notificacion_ids uuid[] DEFAULT NULL,
    p_auditoria_ids uuid[] DEFAULT NULL
)
RETURNS TABLE (table_name text, row_id uuid, column_names text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
SET jit = off
AS $uncountable_in_source$
#variable_conflict use_column
DECLARE
    v_origin record;
BEGIN
    IF p_everything OR cardinality(p_solicitud_ids) > 0 THEN
        RETURN QUERY
            SELECT 'solicitudes', source.id, source.uncountable
            FROM kpi_engine.src_solicitudes AS source
            WHERE
                (p_everything OR source.id = ANY (p_solicitud_ids))
                AND source.uncountable IS NOT NULL
            UNION ALL
            SELECT 'repuestos_solicitados', source.id, source.uncountable
            FROM kpi_engine.src_repuestos_solicitados AS source
            WHERE
                (p_everything OR source.solicitud_id = ANY (p_solicitud_ids))
                AND source.uncountable IS NOT NULL
            UNION ALL
            SELECT 'ofertas', source.id, source.uncountable
            FROM kpi_engine.src_ofertas AS source
            WHERE
                (p_everything OR source.solicitud_id = ANY (p_solicitud_ids))
                AND source.uncountable IS NOT NULL;
        IF p_everything THEN
            RETURN QUERY
                SELECT 'ofertas_detalle', source.id, source.uncountable
                FROM kpi_engine.src_ofertas_detalle AS source
                WHERE source.uncountable IS NOT NULL;
        ELSE
            RETURN QUERY
                SELECT 'ofertas_detalle', source.id, source.uncountable
                FROM kpi_engine.src_ofertas AS offer
                INNER JOIN kpi_engine.src_ofertas_detalle AS source ON source.oferta_id = offer.id
                WHERE
                    offer.solicitud_id = ANY (p_solicitud_ids)
                    AND source.uncountable IS NOT NULL;
        END IF;
    END IF;
    IF p_everything OR cardinality(p_asesor_ids) > 0 THEN
        RETURN QUERY
            SELECT 'asesores', source.id, source.uncountable
            FROM kpi_engine.src_asesores AS source
            WHERE
                (p_everything OR source.id = ANY (p_asesor_ids))
                AND source.uncountable IS NOT NULL;
    END IF;
    IF p_everything OR cardinality(p_usuario_ids) > 0 THEN
        RETURN QUERY
            SELECT 'usuarios', source.id, source.uncountable
            FROM kpi_engine.src_usuarios AS source
            WHERE
                (p_everything OR source.id = ANY (p_usuario_ids))
                AND source.uncountable IS NOT NULL;
    END IF;
    IF p_everything OR cardinality(p_historica_ids) > 0 THEN
        RETURN QUERY
            SELECT 'ofertas_historicas', source.id, source.uncountable
            FROM kpi_engine.src_ofertas_historicas AS source
            WHERE
                (p_everything OR source.id = ANY (p_historica_ids))
                AND source.uncountable IS NOT NULL;
    END IF;
    IF p_everything OR cardinality(p_notificacion_ids) > 0 THEN
        RETURN QUERY
            SELECT 'historial_respuestas_ofertas', source.id, source.uncountable
            FROM kpi_engine.src_historial_respuestas_ofertas AS source
            WHERE
                (p_everything OR source.id = ANY (p_notificacion_ids))
                AND source.uncountable IS NOT NULL;
    END IF;
    IF p_everything OR cardinality(p_auditoria_ids) > 0 THEN
        -- Two origins may have other names for this table.
        FOR v_origin IN SELECT * FROM kpi_engine.sources() LOOP
            RETURN QUERY EXECUTE format(
                'SELECT $1, source.id, source.uncountable
                 FROM kpi_engine.%I AS source
                 WHERE ($2 OR source.id = ANY ($3)) AND source.uncountable IS NOT NULL',
                v_origin.view_prefix || 'auditorias_tiendas'
            ) USING
                CASE v_origin.source_generation
                    WHEN 'B' THEN 'auditoria_tiendas'
                    ELSE 'auditorias_tiendas'
                END,
                p_everything,
                p_auditoria_ids;
        END LOOP;
    END IF;
END;
$uncountable_in_source$;

COMMENT ON FUNCTION kpi_engine.uncountable_in_source(
    boolean, uuid[], uuid[], uuid[], uuid[], uuid[], uuid[]
) IS
'Rows of the operational tables with values out of range or texts that are too long, and which '
'columns these are: all of them, or those that belong to these keys. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.uncountable_in_source(
    boolean, uuid[], uuid[], uuid[], uuid[], uuid[], uuid[]
) FROM public;
