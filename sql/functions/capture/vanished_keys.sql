-- Lists the keys whose rows went with a partition.
--
-- Invariant: for a source table that only lost rows, without a trigger, the list has each key that
-- facts hold and that changed. It may also have a key that changed for another reason. Such a key
-- waits in the change log, or gives the same result.

CREATE OR REPLACE FUNCTION kpi_engine.vanished_keys(p_view_name text)
RETURNS TABLE (entity text, key uuid)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $vanished_keys$
BEGIN
    -- Over several origins, the views of each have a number.
    CASE regexp_replace(p_view_name, '^src_\d+_', 'src_')
        WHEN 'src_usuarios' THEN RETURN QUERY
            SELECT 'usuario', fact.usuario_id
            FROM kpi_engine.asesor_facts AS fact
            LEFT JOIN kpi_engine.src_usuarios AS source ON source.id = fact.usuario_id
            WHERE fact.has_usuario AND source.id IS NULL;
        WHEN 'src_asesores' THEN RETURN QUERY
            SELECT 'asesor', fact.asesor_id
            FROM kpi_engine.asesor_facts AS fact
            LEFT JOIN kpi_engine.src_asesores AS source ON source.id = fact.asesor_id
            WHERE source.id IS NULL;
        WHEN 'src_solicitudes' THEN RETURN QUERY
            SELECT 'solicitud', fact.solicitud_id
            FROM kpi_engine.solicitud_facts AS fact
            LEFT JOIN kpi_engine.src_solicitudes AS source ON source.id = fact.solicitud_id
            WHERE source.id IS NULL;
        WHEN 'src_ofertas' THEN RETURN QUERY
            SELECT 'solicitud', fact.solicitud_id
            FROM kpi_engine.solicitud_facts AS fact
            LEFT JOIN (
                SELECT source.solicitud_id, count(*) AS offers
                FROM kpi_engine.src_ofertas AS source
                GROUP BY source.solicitud_id
            ) AS counted ON counted.solicitud_id = fact.solicitud_id
            WHERE fact.offers <> coalesce(counted.offers, 0);
        WHEN 'src_ofertas_detalle' THEN RETURN QUERY
            SELECT 'solicitud', fact.solicitud_id
            FROM kpi_engine.solicitud_facts AS fact
            LEFT JOIN (
                SELECT
                    offer.solicitud_id,
                    count(line.precio_unitario) AS prices,
                    count(line.garantia_meses) AS warranties
                FROM kpi_engine.src_ofertas_detalle AS line
                INNER JOIN kpi_engine.src_ofertas AS offer ON offer.id = line.oferta_id
                GROUP BY offer.solicitud_id
            ) AS counted ON counted.solicitud_id = fact.solicitud_id
            WHERE
                fact.price_count <> coalesce(counted.prices, 0)
                OR fact.warranty_months_count <> coalesce(counted.warranties, 0);
        WHEN 'src_adjudicaciones_repuesto' THEN RETURN QUERY
            SELECT 'solicitud', fact.solicitud_id
            FROM kpi_engine.solicitud_facts AS fact
            INNER JOIN kpi_engine.recomputed_solicitud_facts AS fresh
                ON fresh.solicitud_id = fact.solicitud_id
            -- An award decides whether an offer won, and which of its lines count as awarded.
            WHERE
                (fact.offers_won, fact.awarded_amount, fact.awarded_accepted_amount)
                IS DISTINCT FROM
                (fresh.offers_won, fresh.awarded_amount, fresh.awarded_accepted_amount);
        WHEN 'src_repuestos_solicitados' THEN RETURN QUERY
            SELECT 'solicitud', fact.solicitud_id
            FROM kpi_engine.solicitud_facts AS fact
            LEFT JOIN (
                SELECT
                    part.solicitud_id,
                    count(DISTINCT upper(kpi_engine.trim_white_space(part.marca_vehiculo))) FILTER (
                        WHERE kpi_engine.trim_white_space(part.marca_vehiculo) <> ''
                    ) AS brands
                FROM kpi_engine.src_repuestos_solicitados AS part
                GROUP BY part.solicitud_id
            ) AS counted ON counted.solicitud_id = fact.solicitud_id
            WHERE cardinality(fact.marcas) <> coalesce(counted.brands, 0);
        WHEN 'src_ofertas_historicas' THEN RETURN QUERY
            SELECT 'historica', fact.historica_id
            FROM kpi_engine.historica_facts AS fact
            LEFT JOIN kpi_engine.src_ofertas_historicas AS source ON source.id = fact.historica_id
            WHERE source.id IS NULL;
        WHEN 'src_historial_respuestas_ofertas' THEN RETURN QUERY
            SELECT 'notificacion', fact.notificacion_id
            FROM kpi_engine.notificacion_facts AS fact
            LEFT JOIN kpi_engine.src_historial_respuestas_ofertas AS source
                ON source.id = fact.notificacion_id
            WHERE source.id IS NULL;
        WHEN 'src_auditorias_tiendas' THEN RETURN QUERY
            SELECT 'auditoria', fact.auditoria_id
            FROM kpi_engine.auditoria_facts AS fact
            LEFT JOIN kpi_engine.src_auditorias_tiendas AS source ON source.id = fact.auditoria_id
            WHERE source.id IS NULL;
    END CASE;
END;
$vanished_keys$;

COMMENT ON FUNCTION kpi_engine.vanished_keys(text) IS
'Keys of facts that a source table, named by its src_ view, does not explain any more, after a '
'partition of it was dropped or detached: entity and key, as in kpi_engine.change_log. Internal to '
'kpi_engine.settle_capture().';

REVOKE ALL ON FUNCTION kpi_engine.vanished_keys(text) FROM public;
