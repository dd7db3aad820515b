-- The monthly KPIs at this moment: always equal to a recomputation, without a refresh.

CREATE OR REPLACE VIEW analytics.v_metricas_mensuales_tiempo_real AS
SELECT metrics.* -- noqa: AM04
FROM analytics.rows_now('mv_metricas_mensuales') AS month (object)
-- Not the row type of the view: make migrate could not replace that one then.
CROSS JOIN LATERAL jsonb_to_record(month.object) AS metrics (
    mes date,
    solicitudes_creadas bigint,
    solicitudes_aceptadas bigint,
    solicitudes_rechazadas bigint,
    solicitudes_expiradas bigint,
    solicitudes_sin_ofertas bigint,
    tiempo_promedio_cierre_seg numeric,
    ofertas_totales bigint,
    ofertas_ganadoras bigint,
    ofertas_aceptadas bigint,
    precio_promedio_ofertas numeric,
    precio_minimo_ofertas numeric,
    precio_maximo_ofertas numeric,
    tiempo_entrega_promedio numeric,
    garantia_promedio_meses numeric,
    clientes_activos bigint,
    asesores_activos bigint,
    marcas_vehiculos_solicitadas bigint,
    volumen_transaccional_total numeric,
    tasa_aceptacion_pct numeric,
    tasa_conversion_ofertas_pct numeric,
    ofertas_promedio_por_solicitud numeric
)
ORDER BY metrics.mes;

COMMENT ON VIEW analytics.v_metricas_mensuales_tiempo_real IS
'The columns of mv_metricas_mensuales as of this moment, changes since the last refresh '
'included. The cost follows what changed since then.';

REVOKE ALL ON analytics.v_metricas_mensuales_tiempo_real FROM public;
GRANT SELECT ON analytics.v_metricas_mensuales_tiempo_real TO analytics_lector, analytics_operador;
