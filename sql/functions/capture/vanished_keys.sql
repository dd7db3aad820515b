-- Lists the keys whose rows went with a partition.
--
-- Invariant: for a source table that only lost rows, without a trigger, the list has each key that
-- facts hold and that changed. It may also have a key that changed for another reason. Such a key
-- waits in the change log, or gives the same result.
-- Over several origins it compares the facts of one of them with the views over its tables alone.
-- A row of another origin may name the same request, and would stand in for one that went.

CREATE OR REPLACE FUNCTION kpi_engine.vanished_keys(p_view_name text)
RETURNS TABLE (entity text, key uuid)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $vanished_keys$
DECLARE
    v_source record;
BEGIN
    SELECT
        sources.view_prefix,
        sources.origen AS own_name,
        kpi_engine.origin_condition('fact', sources.origen) AS is_own
    INTO STRICT v_source
    FROM kpi_engine.sources()
    WHERE starts_with(p_view_name, sources.view_prefix);
    RETURN QUERY EXECUTE format(
        CASE substr(p_view_name, length(v_source.view_prefix) + 1)
            WHEN 'usuarios' THEN
                'SELECT ''usuario'', fact.usuario_id
                 FROM kpi_engine.asesor_facts AS fact
                 LEFT JOIN kpi_engine.%1$susuarios AS source ON source.id = fact.usuario_id
                 WHERE %2$s AND fact.has_usuario AND source.id IS NULL'
            WHEN 'asesores' THEN
                'SELECT ''asesor'', fact.asesor_id
                 FROM kpi_engine.asesor_facts AS fact
                 LEFT JOIN kpi_engine.%1$sasesores AS source ON source.id = fact.asesor_id
                 WHERE %2$s AND source.id IS NULL'
            WHEN 'solicitudes' THEN
                'SELECT ''solicitud'', fact.solicitud_id
                 FROM kpi_engine.solicitud_facts AS fact
                 LEFT JOIN kpi_engine.%1$ssolicitudes AS source ON source.id = fact.solicitud_id
                 WHERE %2$s AND source.id IS NULL'
            WHEN 'ofertas' THEN
                'SELECT ''solicitud'', fact.solicitud_id
                 FROM kpi_engine.solicitud_facts AS fact
                 LEFT JOIN (
                     SELECT source.solicitud_id, count(*) AS offers
                     FROM kpi_engine.%1$sofertas AS source
                     GROUP BY source.solicitud_id
                 ) AS counted ON counted.solicitud_id = fact.solicitud_id
                 WHERE %2$s AND fact.offers <> coalesce(counted.offers, 0)'
            WHEN 'ofertas_detalle' THEN
                'SELECT ''solicitud'', fact.solicitud_id
                 FROM kpi_engine.solicitud_facts AS fact
                 LEFT JOIN (
                     SELECT
                         offer.solicitud_id,
                         count(line.precio_unitario) AS prices,
                         count(line.garantia_meses) AS warranties
                     FROM kpi_engine.%1$sofertas_detalle AS line
                     INNER JOIN kpi_engine.%1$sofertas AS offer ON offer.id = line.oferta_id
                     GROUP BY offer.solicitud_id
                 ) AS counted ON counted.solicitud_id = fact.solicitud_id
                 WHERE
                     %2$s
                     AND (
                         fact.price_count <> coalesce(counted.prices, 0)
                         OR fact.warranty_months_count <> coalesce(counted.warranties, 0)
                     )'
            WHEN 'adjudicaciones_repuesto' THEN
                -- An award decides whether an offer won, and which of its lines count as awarded.
                'SELECT ''solicitud'', fact.solicitud_id
                 FROM kpi_engine.solicitud_facts AS fact
                 INNER JOIN kpi_engine.recomputed_solicitud_facts AS fresh
                     ON fresh.solicitud_id = fact.solicitud_id
                 WHERE
                     %2$s
                     AND (fact.offers_won, fact.awarded_amount, fact.awarded_accepted_amount)
                     IS DISTINCT FROM
                     (fresh.offers_won, fresh.awarded_amount, fresh.awarded_accepted_amount)'
            WHEN 'repuestos_solicitados' THEN
                'SELECT ''solicitud'', fact.solicitud_id
                 FROM kpi_engine.solicitud_facts AS fact
                 LEFT JOIN (
                     SELECT
                         part.solicitud_id,
                         count(DISTINCT upper(kpi_engine.trim_white_space(part.marca_vehiculo)))
                             FILTER (
                                 WHERE kpi_engine.trim_white_space(part.marca_vehiculo) <> ''''
                             ) AS brands
                     FROM kpi_engine.%1$srepuestos_solicitados AS part
                     GROUP BY part.solicitud_id
                 ) AS counted ON counted.solicitud_id = fact.solicitud_id
                 WHERE %2$s AND cardinality(fact.marcas) <> coalesce(counted.brands, 0)'
            WHEN 'ofertas_historicas' THEN
                'SELECT ''historica'', fact.historica_id
                 FROM kpi_engine.historica_facts AS fact
                 LEFT JOIN kpi_engine.%1$sofertas_historicas AS source
                     ON source.id = fact.historica_id
                 WHERE %2$s AND source.id IS NULL'
            WHEN 'historial_respuestas_ofertas' THEN
                'SELECT ''notificacion'', fact.notificacion_id
                 FROM kpi_engine.notificacion_facts AS fact
                 LEFT JOIN kpi_engine.%1$shistorial_respuestas_ofertas AS source
                     ON source.id = fact.notificacion_id
                 WHERE %2$s AND source.id IS NULL'
            WHEN 'auditorias_tiendas' THEN
                'SELECT ''auditoria'', fact.auditoria_id
                 FROM kpi_engine.auditoria_facts AS fact
                 LEFT JOIN kpi_engine.%1$sauditorias_tiendas AS source
                     ON source.id = fact.auditoria_id
                 WHERE %2$s AND source.id IS NULL'
        END,
        v_source.view_prefix,
        v_source.is_own
    ) USING v_source.own_name;
END;
$vanished_keys$;

COMMENT ON FUNCTION kpi_engine.vanished_keys(text) IS
'Keys of facts that a source table, named by its src_ view, does not explain any more, after a '
'partition of it was dropped or detached: entity and key, as in kpi_engine.change_log. Internal to '
'kpi_engine.settle_capture().';

REVOKE ALL ON FUNCTION kpi_engine.vanished_keys(text) FROM public;
