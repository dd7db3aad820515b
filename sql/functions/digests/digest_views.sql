-- The KPI views that a digest shows, with their columns.
--
-- Invariant: a digest of cities shows mv_demanda_ciudades alone. The first view of a frequency has
-- its grain where there is one: a digest is due, and has its name, by that view.

CREATE OR REPLACE FUNCTION kpi_engine.digest_views(p_frequency text, p_is_of_cities boolean)
RETURNS TABLE (place integer, view_name text, column_names text[])
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $digest_views$
    SELECT listed.place, listed.view_name, listed.column_names
    FROM (
        VALUES
        (
            1, 'daily', false, 'mv_embudo_operativo',
            ARRAY[
                'solicitudes_creadas', 'solicitudes_con_ofertas', 'solicitudes_aceptadas',
                'conversion_general_pct', 'tasa_llenado_pct', 'ttfo_mediana_seg'
            ]
        ),
        (
            1, 'weekly', false, 'mv_salud_marketplace',
            ARRAY[
                'solicitudes_creadas', 'ofertas_totales', 'asesores_activos',
                'ratio_oferta_demanda', 'densidad_ofertas', 'tasa_participacion_pct'
            ]
        ),
        -- The six of the page.
        (
            2, NULL, false, 'mv_metricas_mensuales',
            ARRAY[
                'solicitudes_creadas', 'tasa_aceptacion_pct', 'volumen_transaccional_total',
                'ofertas_promedio_por_solicitud', 'asesores_activos', 'tiempo_promedio_cierre_seg'
            ]
        ),
        (
            1, NULL, true, 'mv_demanda_ciudades',
            ARRAY[
                'solicitudes', 'tasa_aceptacion_pct', 'valor_bruto_aceptado',
                'ofertas_por_solicitud', 'asesores_activos', 'ttfo_mediana_seg'
            ]
        )
    ) AS listed (place, frequency, is_of_cities, view_name, column_names)
    WHERE
        listed.is_of_cities = p_is_of_cities
        AND (listed.frequency IS NULL OR listed.frequency = p_frequency)
    ORDER BY listed.place;
$digest_views$;

COMMENT ON FUNCTION kpi_engine.digest_views(text, boolean) IS
'The KPI views of a digest of a frequency, in their order, and the columns that it shows of each. '
'p_is_of_cities: whether it is about some cities. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.digest_views(text, boolean) FROM public;
