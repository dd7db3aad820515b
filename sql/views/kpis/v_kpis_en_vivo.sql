-- The live KPIs, one row, computed at the moment of the query.

CREATE OR REPLACE VIEW analytics.v_kpis_en_vivo AS
SELECT
    kpis.solicitudes_abiertas,
    kpis.ofertas_pendientes_evaluacion,
    kpis.solicitudes_hoy,
    kpis.ofertas_hoy,
    kpis.ofertas_mes_actual,
    kpis.monto_aceptado_mes,
    kpis.tasa_conversion_hoy_pct,
    kpis.calculado_at
FROM kpi_engine.kpis_en_vivo() AS kpis;

COMMENT ON VIEW analytics.v_kpis_en_vivo IS
'Live KPIs at the moment of the query: open requests, offers that wait for evaluation, requests '
'and offers of the local day, offers of the local month, accepted amount of the month''s '
'requests, conversion of the day''s requests.';
COMMENT ON COLUMN analytics.v_kpis_en_vivo.solicitudes_abiertas IS 'Requests with estado ABIERTA.';
COMMENT ON COLUMN analytics.v_kpis_en_vivo.ofertas_pendientes_evaluacion IS
'Offers with estado ENVIADA.';
COMMENT ON COLUMN analytics.v_kpis_en_vivo.solicitudes_hoy IS
'Requests created on the local day.';
COMMENT ON COLUMN analytics.v_kpis_en_vivo.ofertas_hoy IS 'Offers created on the local day.';
COMMENT ON COLUMN analytics.v_kpis_en_vivo.ofertas_mes_actual IS
'Offers created in the local month.';
COMMENT ON COLUMN analytics.v_kpis_en_vivo.monto_aceptado_mes IS
'Price × quantity of the lines of accepted offers whose request was created in the local '
'month, in pesos.';
COMMENT ON COLUMN analytics.v_kpis_en_vivo.tasa_conversion_hoy_pct IS
'100 × accepted requests / requests, of those created on the local day; 0 over none.';
COMMENT ON COLUMN analytics.v_kpis_en_vivo.calculado_at IS 'The moment of the query.';

REVOKE ALL ON analytics.v_kpis_en_vivo FROM public;
GRANT SELECT ON analytics.v_kpis_en_vivo TO analytics_lector, analytics_operador;
