-- Requests by month and client, by which distinct ones are counted.
--
-- Invariant: a key counts for a month while at least one of its requests has it, so a distinct
-- count moves by the keys that appear and vanish, whatever the month's size.

CREATE OR REPLACE VIEW kpi_engine.recomputed_month_clientes AS
SELECT
    solicitud_facts.mes,
    solicitud_facts.cliente_id,
    count(*)::integer AS requests
FROM kpi_engine.solicitud_facts
WHERE solicitud_facts.cliente_id IS NOT NULL
GROUP BY solicitud_facts.mes, solicitud_facts.cliente_id;

COMMENT ON VIEW kpi_engine.recomputed_month_clientes IS
'Requests by month and client: a client counts while there is one.';
COMMENT ON COLUMN kpi_engine.recomputed_month_clientes.mes IS 'The month.';
COMMENT ON COLUMN kpi_engine.recomputed_month_clientes.cliente_id IS
'A client with a request in it.';
COMMENT ON COLUMN kpi_engine.recomputed_month_clientes.requests IS
'Requests of the month by this client.';

REVOKE ALL ON kpi_engine.recomputed_month_clientes FROM public;

SELECT kpi_engine.declare_derived_table(
    'month_clientes', 'difference', ARRAY['mes', 'cliente_id']
);
