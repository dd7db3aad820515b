-- For which day and instant each materialized view was computed.
--
-- Shows kpi_engine.view_state. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.view_state AS
SELECT
    view_state.view_name,
    view_state.today,
    view_state.calculated_at,
    view_state.last_success_at,
    view_state.published_version,
    view_state.settings_checksum,
    view_state.noted_relation,
    view_state.rules_checksum,
    view_state.is_void,
    view_state.counted_until,
    view_state.time_zone
FROM kpi_engine.view_state;

REVOKE ALL ON analytics.view_state FROM public;
GRANT SELECT ON analytics.view_state TO analytics_operador;
