-- How many different clients, advisors and brands the requests of each local month have.
--
-- Invariant: kept by difference, from the tables that hold each key once.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_distinct_counts AS
SELECT
    counted.mes,
    sum(counted.clientes) AS clientes,
    sum(counted.asesores) AS asesores,
    sum(counted.asesores_retained) AS asesores_retained,
    sum(counted.asesores_lost) AS asesores_lost,
    sum(counted.marcas) AS marcas
FROM (
    SELECT
        month_clientes.mes,
        1 AS clientes,
        0 AS asesores,
        0 AS asesores_retained,
        0 AS asesores_lost,
        0 AS marcas
    FROM kpi_engine.month_clientes
    UNION ALL
    SELECT
        month_asesores.mes,
        0 AS clientes,
        (month_asesores.requests > 0)::integer AS asesores,
        (month_asesores.requests > 0 AND month_asesores.requests_before > 0)::integer
            AS asesores_retained,
        (month_asesores.requests = 0)::integer AS asesores_lost,
        0 AS marcas
    FROM kpi_engine.month_asesores
    UNION ALL
    SELECT
        month_marcas.mes,
        0 AS clientes,
        0 AS asesores,
        0 AS asesores_retained,
        0 AS asesores_lost,
        1 AS marcas
    FROM kpi_engine.month_marcas
) AS counted
GROUP BY counted.mes;

COMMENT ON VIEW kpi_engine.recomputed_month_distinct_counts IS
'Distinct clients, advisors and brands by local month of the request.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.mes IS
'The month; -infinity for the requests that belong to no month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.clientes IS
'Distinct clients of its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.asesores IS
'Distinct advisors with an offer.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.asesores_retained IS
'Of those, also with one in the month before.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.asesores_lost IS
'Advisors with an offer in the month before and none in this one.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.marcas IS 'Distinct brands.';

REVOKE ALL ON kpi_engine.recomputed_month_distinct_counts FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_distinct_counts', 'difference', ARRAY['mes'], p_fillfactor => 50
);
