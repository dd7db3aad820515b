-- What can be set, and what it is.
--
-- Shows kpi_engine.settings. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.settings AS
SELECT
    settings.name,
    settings.value,
    settings.description,
    settings.updated_at,
    settings.updated_by
FROM kpi_engine.settings;

REVOKE ALL ON analytics.settings FROM public;
GRANT SELECT ON analytics.settings TO analytics_lector, analytics_operador;
