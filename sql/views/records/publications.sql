-- When each view was published, and how many rows that changed.
--
-- Shows kpi_engine.publications. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.publications AS
SELECT
    publications.view_name,
    publications.run_id,
    publications.data_version,
    publications.published_at,
    publications.calculated_at,
    publications.rows_shown,
    publications.rows_changed,
    publications.null_counts,
    publications.keeps_rows,
    publications.requests_known,
    publications.shown_until,
    publications.confirmed_at,
    publications.outside_as_of,
    publications.time_zone
FROM kpi_engine.publications;

REVOKE ALL ON analytics.publications FROM public;
GRANT SELECT ON analytics.publications TO analytics_lector, analytics_operador;
