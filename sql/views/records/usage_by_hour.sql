-- How often what is read was used.
--
-- Shows kpi_engine.usage_by_hour. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.usage_by_hour AS
SELECT
    usage_by_hour.kind,
    usage_by_hour.name,
    usage_by_hour.hour,
    usage_by_hour.uses
FROM kpi_engine.usage_by_hour;

COMMENT ON VIEW analytics.usage_by_hour IS
'How often something was used, by the hour in which that was noted; no row: not at all. What '
'refreshes do themselves is left out, but for source tables, where it is all that counts.';

REVOKE ALL ON analytics.usage_by_hour FROM public;
GRANT SELECT ON analytics.usage_by_hour TO analytics_operador;
