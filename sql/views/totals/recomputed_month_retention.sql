-- Which advisors stayed and which were lost from each local month to the next.
--
-- Invariant: kept by group. A row follows from two months, so its key is not called mes: that names
-- the one month of the rows that are read.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_retention AS
SELECT
    pair.periodo,
    count(*) FILTER (WHERE pair.is_active) AS asesores,
    count(*) FILTER (WHERE pair.is_active AND pair.was_active) AS asesores_retained,
    count(*) FILTER (WHERE NOT pair.is_active) AS asesores_lost
FROM (
    SELECT
        seen.periodo,
        seen.asesor_id,
        bool_or(seen.is_active) AS is_active,
        bool_or(NOT seen.is_active) AS was_active
    FROM (
        SELECT
            month_asesores.mes AS periodo,
            month_asesores.asesor_id,
            true AS is_active
        FROM kpi_engine.month_asesores
        WHERE isfinite(month_asesores.mes)
        UNION ALL
        SELECT
            (month_asesores.mes + interval '1 month')::date AS periodo,
            month_asesores.asesor_id,
            false AS is_active
        FROM kpi_engine.month_asesores
        WHERE isfinite(month_asesores.mes)
    ) AS seen
    GROUP BY seen.periodo, seen.asesor_id
) AS pair
GROUP BY pair.periodo;

COMMENT ON VIEW kpi_engine.recomputed_month_retention IS
'Advisors by local month and the month before.';
COMMENT ON COLUMN kpi_engine.recomputed_month_retention.periodo IS
'First day of the month; one more than the last month with a request.';
COMMENT ON COLUMN kpi_engine.recomputed_month_retention.asesores IS
'Advisors with an offer for a request of the month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_retention.asesores_retained IS
'Of those, also with one for a request of the month before.';
COMMENT ON COLUMN kpi_engine.recomputed_month_retention.asesores_lost IS
'Advisors with an offer for a request of the month before, but not of this one.';

REVOKE ALL ON kpi_engine.recomputed_month_retention FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_retention', 'group', ARRAY['periodo']
);
