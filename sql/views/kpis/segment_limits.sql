-- Where one segment of advisors ends and the next begins: the settings segment_… as numbers.

CREATE OR REPLACE VIEW kpi_engine.segment_limits AS
SELECT
    max(settings.value) FILTER (WHERE settings.name = 'segment_new_days')::numeric AS new_days,
    max(settings.value) FILTER (
        WHERE settings.name = 'segment_recent_days'
    )::numeric AS recent_days,
    max(settings.value) FILTER (
        WHERE settings.name = 'segment_active_offers'
    )::numeric AS active_offers,
    max(settings.value) FILTER (WHERE settings.name = 'segment_star_value')::numeric AS star_value,
    max(settings.value) FILTER (
        WHERE settings.name = 'segment_dormant_days'
    )::numeric AS dormant_days,
    max(settings.value) FILTER (
        WHERE settings.name = 'segment_dormant_value'
    )::numeric AS dormant_value,
    max(settings.value) FILTER (
        WHERE settings.name = 'segment_risk_offers'
    )::numeric AS risk_offers,
    max(settings.value) FILTER (
        WHERE settings.name = 'segment_steady_days'
    )::numeric AS steady_days,
    max(settings.value) FILTER (
        WHERE settings.name = 'segment_steady_offers'
    )::numeric AS steady_offers
FROM kpi_engine.settings;

COMMENT ON VIEW kpi_engine.segment_limits IS
'One row: the settings segment_…, for mv_segmentos_asesores.';
COMMENT ON COLUMN kpi_engine.segment_limits.new_days IS 'segment_new_days.';
COMMENT ON COLUMN kpi_engine.segment_limits.recent_days IS 'segment_recent_days.';
COMMENT ON COLUMN kpi_engine.segment_limits.active_offers IS 'segment_active_offers.';
COMMENT ON COLUMN kpi_engine.segment_limits.star_value IS 'segment_star_value.';
COMMENT ON COLUMN kpi_engine.segment_limits.dormant_days IS 'segment_dormant_days.';
COMMENT ON COLUMN kpi_engine.segment_limits.dormant_value IS 'segment_dormant_value.';
COMMENT ON COLUMN kpi_engine.segment_limits.risk_offers IS 'segment_risk_offers.';
COMMENT ON COLUMN kpi_engine.segment_limits.steady_days IS 'segment_steady_days.';
COMMENT ON COLUMN kpi_engine.segment_limits.steady_offers IS 'segment_steady_offers.';

REVOKE ALL ON kpi_engine.segment_limits FROM public;
