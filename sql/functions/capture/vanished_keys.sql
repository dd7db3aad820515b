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
    RETURN QUERY EXECUTE (
        SELECT format(
            'SELECT %L, fact.%I FROM kpi_engine.%I AS fact %s WHERE %s AND (%s)',
            fact.entity,
            fact.key_name,
            fact.table_name,
            format(
                coalesce(
                    fact.source, 'LEFT JOIN kpi_engine.%1$I AS source ON source.id = fact.%2$I'),
                p_view_name, fact.key_name, v_source.view_prefix
            ),
            v_source.is_own,
            coalesce(fact.condition, 'source.id IS NULL')
        )
        -- Where no way to the source is given, each row of the table is a row of the facts.
        FROM (VALUES
            ('usuarios', 'usuario', 'asesor_facts', 'usuario_id', NULL,
                'fact.has_usuario AND source.id IS NULL'),
            ('asesores', 'asesor', 'asesor_facts', 'asesor_id', NULL, NULL),
            ('solicitudes', 'solicitud', 'solicitud_facts', 'solicitud_id', NULL, NULL),
            ('ofertas_historicas', 'historica', 'historica_facts', 'historica_id', NULL, NULL),
            ('historial_respuestas_ofertas', 'notificacion', 'notificacion_facts',
                'notificacion_id', NULL, NULL),
            ('auditorias_tiendas', 'auditoria', 'auditoria_facts', 'auditoria_id', NULL, NULL),
            ('ofertas', 'solicitud', 'solicitud_facts', 'solicitud_id',
                'LEFT JOIN (
                     SELECT source.solicitud_id, count(*) AS offers
                     FROM kpi_engine.%1$I AS source
                     GROUP BY source.solicitud_id
                 ) AS counted ON counted.solicitud_id = fact.solicitud_id',
                'fact.offers <> coalesce(counted.offers, 0)'),
            ('ofertas_detalle', 'solicitud', 'solicitud_facts', 'solicitud_id',
                'LEFT JOIN (
                     SELECT
                         offer.solicitud_id,
                         count(line.precio_unitario) AS prices,
                         count(line.garantia_meses) AS warranties
                     FROM kpi_engine.%1$I AS line
                     INNER JOIN kpi_engine.%3$sofertas AS offer ON offer.id = line.oferta_id
                     GROUP BY offer.solicitud_id
                 ) AS counted ON counted.solicitud_id = fact.solicitud_id',
                'fact.price_count <> coalesce(counted.prices, 0)
                 OR fact.warranty_months_count <> coalesce(counted.warranties, 0)'),
            -- An award decides whether an offer won, and which of its lines count as awarded.
            ('adjudicaciones_repuesto', 'solicitud', 'solicitud_facts', 'solicitud_id',
                'INNER JOIN kpi_engine.recomputed_solicitud_facts AS fresh
                     ON fresh.solicitud_id = fact.solicitud_id',
                '(fact.offers_won, fact.awarded_amount, fact.awarded_accepted_amount)
                 IS DISTINCT FROM
                 (fresh.offers_won, fresh.awarded_amount, fresh.awarded_accepted_amount)'),
            ('repuestos_solicitados', 'solicitud', 'solicitud_facts', 'solicitud_id',
                'LEFT JOIN (
                     SELECT
                         part.solicitud_id,
                         count(DISTINCT upper(kpi_engine.trim_white_space(part.marca_vehiculo)))
                             FILTER (
                                 WHERE kpi_engine.trim_white_space(part.marca_vehiculo) <> ''''
                             ) AS brands
                     FROM kpi_engine.%1$I AS part
                     GROUP BY part.solicitud_id
                 ) AS counted ON counted.solicitud_id = fact.solicitud_id',
                'cardinality(fact.marcas) <> coalesce(counted.brands, 0)')
        ) AS fact (source_table, entity, table_name, key_name, source, condition)
        WHERE v_source.view_prefix || fact.source_table = p_view_name
    ) USING v_source.own_name;
END;
$vanished_keys$;

COMMENT ON FUNCTION kpi_engine.vanished_keys(text) IS
'Keys of facts that a source table, named by its src_ view, does not explain any more, after a '
'partition of it was dropped or detached: entity and key, as in kpi_engine.change_log. Internal to '
'kpi_engine.settle_capture().';

REVOKE ALL ON FUNCTION kpi_engine.vanished_keys(text) FROM public;
