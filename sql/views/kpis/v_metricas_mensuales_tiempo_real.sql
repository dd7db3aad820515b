-- The monthly KPIs at this moment: always equal to a recomputation, without a refresh.

CREATE OR REPLACE VIEW analytics.v_metricas_mensuales_tiempo_real AS
-- Not by the row type of the view: make migrate could not replace that one then.
SELECT
    (month.object ->> 'mes')::date AS mes,
    (month.object ->> 'solicitudes_creadas')::bigint AS solicitudes_creadas,
    (month.object ->> 'solicitudes_aceptadas')::bigint AS solicitudes_aceptadas,
    (month.object ->> 'solicitudes_rechazadas')::bigint AS solicitudes_rechazadas,
    (month.object ->> 'solicitudes_expiradas')::bigint AS solicitudes_expiradas,
    (month.object ->> 'solicitudes_sin_ofertas')::bigint AS solicitudes_sin_ofertas,
    (month.object ->> 'tiempo_promedio_cierre_seg')::numeric AS tiempo_promedio_cierre_seg,
    (month.object ->> 'ofertas_totales')::bigint AS ofertas_totales,
    (month.object ->> 'ofertas_ganadoras')::bigint AS ofertas_ganadoras,
    (month.object ->> 'ofertas_aceptadas')::bigint AS ofertas_aceptadas,
    (month.object ->> 'precio_promedio_ofertas')::numeric AS precio_promedio_ofertas,
    (month.object ->> 'precio_minimo_ofertas')::numeric AS precio_minimo_ofertas,
    (month.object ->> 'precio_maximo_ofertas')::numeric AS precio_maximo_ofertas,
    (month.object ->> 'tiempo_entrega_promedio')::numeric AS tiempo_entrega_promedio,
    (month.object ->> 'garantia_promedio_meses')::numeric AS garantia_promedio_meses,
    (month.object ->> 'clientes_activos')::bigint AS clientes_activos,
    (month.object ->> 'asesores_activos')::bigint AS asesores_activos,
    (month.object ->> 'marcas_vehiculos_solicitadas')::bigint AS marcas_vehiculos_solicitadas,
    (month.object ->> 'volumen_transaccional_total')::numeric AS volumen_transaccional_total,
    (month.object ->> 'tasa_aceptacion_pct')::numeric AS tasa_aceptacion_pct,
    (month.object ->> 'tasa_conversion_ofertas_pct')::numeric AS tasa_conversion_ofertas_pct,
    (month.object ->> 'ofertas_promedio_por_solicitud')::numeric AS ofertas_promedio_por_solicitud
FROM analytics.rows_now('mv_metricas_mensuales') AS month (object)
ORDER BY 1;

COMMENT ON VIEW analytics.v_metricas_mensuales_tiempo_real IS
'The columns of mv_metricas_mensuales at this moment, with the changes since the last refresh. '
'The cost follows these changes.';

REVOKE ALL ON analytics.v_metricas_mensuales_tiempo_real FROM public;
GRANT SELECT ON analytics.v_metricas_mensuales_tiempo_real TO analytics_lector, analytics_operador;
