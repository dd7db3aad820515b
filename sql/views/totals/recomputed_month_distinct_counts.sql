-- How many different clients, advisors and brands the requests of each local month have.
--
-- Invariant: kept by difference, from the tables that hold each key once.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_distinct_counts AS
SELECT
    counted.mes,
    count(*) AS keys,
    coalesce(sum(counted.clientes), 0) AS clientes,
    coalesce(sum(counted.asesores), 0) AS asesores,
    coalesce(sum(counted.marcas), 0) AS marcas
FROM (
    SELECT
        month_clientes.mes,
        1 AS clientes,
        0 AS asesores,
        0 AS marcas
    FROM kpi_engine.month_clientes
    UNION ALL
    SELECT
        month_asesores.mes,
        0 AS clientes,
        1 AS asesores,
        0 AS marcas
    FROM kpi_engine.month_asesores
    UNION ALL
    SELECT
        month_marcas.mes,
        0 AS clientes,
        0 AS asesores,
        1 AS marcas
    FROM kpi_engine.month_marcas
) AS counted
GROUP BY counted.mes;

COMMENT ON VIEW kpi_engine.recomputed_month_distinct_counts IS
'Distinct clients, advisors and brands by local month of the request.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.mes IS
'The month; -infinity for the requests that belong to no month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.keys IS
'Clients, advisors and brands together.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.clientes IS
'Distinct clients of its requests.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.asesores IS
'Distinct advisors with an offer.';
COMMENT ON COLUMN kpi_engine.recomputed_month_distinct_counts.marcas IS 'Distinct brands.';

REVOKE ALL ON kpi_engine.recomputed_month_distinct_counts FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_distinct_counts', 'difference', ARRAY['mes'], p_fillfactor => 50
);
