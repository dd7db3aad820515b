-- Names a derived table that is empty though the source or another one is not.
--
-- Invariant: asked once after a restore. Where a table is rightly empty it may be named, too: then
-- everything is computed again for nothing, once. Never the other way round for a whole table.

CREATE OR REPLACE FUNCTION kpi_engine.lost_derived_table()
RETURNS text
LANGUAGE sql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $lost_derived_table$
    SELECT part.table_name
    FROM (VALUES
        (
            'solicitud_facts', NOT EXISTS (SELECT FROM kpi_engine.solicitud_facts)
            AND EXISTS (SELECT FROM kpi_engine.src_solicitudes)
        ),
        (
            'month_totals', NOT EXISTS (SELECT FROM kpi_engine.month_totals)
            AND EXISTS (SELECT FROM kpi_engine.src_solicitudes)
        ),
        (
            'month_clientes', NOT EXISTS (SELECT FROM kpi_engine.month_clientes)
            AND EXISTS (SELECT FROM kpi_engine.month_totals WHERE month_totals.clientes > 0)
        ),
        (
            'month_asesores', NOT EXISTS (SELECT FROM kpi_engine.month_asesores)
            AND EXISTS (SELECT FROM kpi_engine.month_totals WHERE month_totals.asesores > 0)
        ),
        (
            'month_marcas', NOT EXISTS (SELECT FROM kpi_engine.month_marcas)
            AND EXISTS (SELECT FROM kpi_engine.month_totals WHERE month_totals.marcas > 0)
        ),
        (
            'asesor_facts', NOT EXISTS (SELECT FROM kpi_engine.asesor_facts)
            AND EXISTS (SELECT FROM kpi_engine.src_asesores)
        ),
        (
            'historica_facts', NOT EXISTS (SELECT FROM kpi_engine.historica_facts)
            AND EXISTS (SELECT FROM kpi_engine.src_ofertas_historicas)
        ),
        (
            'notificacion_facts', NOT EXISTS (SELECT FROM kpi_engine.notificacion_facts)
            AND EXISTS (SELECT FROM kpi_engine.src_historial_respuestas_ofertas)
        ),
        (
            'auditoria_facts', NOT EXISTS (SELECT FROM kpi_engine.auditoria_facts)
            AND EXISTS (SELECT FROM kpi_engine.src_auditorias_tiendas)
        ),
        (
            'asesor_totals', NOT EXISTS (SELECT FROM kpi_engine.asesor_totals)
            AND (
                EXISTS (SELECT FROM kpi_engine.historica_facts)
                OR EXISTS (SELECT FROM kpi_engine.notificacion_facts)
                OR EXISTS (SELECT FROM kpi_engine.auditoria_facts)
            )
        )
    ) AS part (table_name, is_lost)
    WHERE part.is_lost
    LIMIT 1;
$lost_derived_table$;

COMMENT ON FUNCTION kpi_engine.lost_derived_table() IS
'A derived table that has no rows though it should have some, as after a dump that left them out; '
'NULL where there is none. Internal to kpi_engine.recognize_database().';

REVOKE ALL ON FUNCTION kpi_engine.lost_derived_table() FROM public;
