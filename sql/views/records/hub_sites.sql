-- The sites of a hub.
--
-- Shows kpi_engine.hub_sites. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.hub_sites AS
SELECT
    hub_sites.site,
    hub_sites.state,
    hub_sites.message,
    hub_sites.as_of,
    hub_sites.taken_at,
    hub_sites.tried_at,
    hub_sites.version,
    hub_sites.mark,
    hub_sites.server_name,
    hub_sites.added_at,
    hub_sites.behind,
    hub_sites.counted_as_of
FROM kpi_engine.hub_sites;

REVOKE ALL ON analytics.hub_sites FROM public;
GRANT SELECT ON analytics.hub_sites TO analytics_lector, analytics_operador;
