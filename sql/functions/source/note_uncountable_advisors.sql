-- Notes rows of the source that can't be counted, among the rows that belong to no request.

CREATE OR REPLACE FUNCTION kpi_engine.note_uncountable_advisors()
RETURNS void
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $note_uncountable_advisors$
    SELECT kpi_engine.note_uncountable_rows(
        false, NULL,
        ARRAY(SELECT source.id FROM kpi_engine.src_asesores AS source),
        ARRAY(SELECT source.id FROM kpi_engine.src_usuarios AS source),
        ARRAY(
            SELECT source.id FROM kpi_engine.src_ofertas_historicas AS source
            -- As far back as the facts go: each of their windows has the amounts.
            WHERE source.fecha > analytics.today() - (
                SELECT max(window_days.days)
                FROM kpi_engine.derived_tables
                CROSS JOIN unnest(derived_tables.window_days) AS window_days (days)
                WHERE derived_tables.source_view = 'src_ofertas_historicas'
            )
        ),
        ARRAY(
            SELECT source.id FROM kpi_engine.src_historial_respuestas_ofertas AS source
            WHERE source.fecha_envio >= analytics.now() - interval '31 days'
        ),
        ARRAY(SELECT source.id FROM kpi_engine.src_auditorias_tiendas AS source)
    );
$note_uncountable_advisors$;

COMMENT ON FUNCTION kpi_engine.note_uncountable_advisors() IS
'Brings analytics.uncountable_rows up to date for advisors and what belongs to them. Internal to '
'the self-audit.';

REVOKE ALL ON FUNCTION kpi_engine.note_uncountable_advisors() FROM public;
