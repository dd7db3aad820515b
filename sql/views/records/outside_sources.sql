-- Which tables of other services the KPI views read, and how fresh each is.
--
-- Shows kpi_engine.outside_sources. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.outside_sources AS
SELECT
    outside_sources.view_name,
    outside_sources.source_name,
    outside_sources.watch,
    outside_sources.version_query,
    outside_sources.as_of_query,
    outside_sources.max_age,
    outside_sources.view_relation,
    outside_sources.source_relation,
    outside_sources.binding,
    outside_sources.database_identity,
    outside_sources.is_changed,
    outside_sources.trigger_signature,
    outside_sources.version,
    outside_sources.as_of,
    outside_sources.read_at
FROM kpi_engine.outside_sources;

REVOKE ALL ON analytics.outside_sources FROM public;
GRANT SELECT ON analytics.outside_sources TO analytics_operador;
