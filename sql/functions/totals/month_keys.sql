-- The reference counts by month: which table counts which keys of a fact.
--
-- Invariant: a key counts for a month while at least one of its requests has it, so a
-- distinct count moves by the keys that appear and vanish, whatever the month's size.

CREATE OR REPLACE FUNCTION kpi_engine.month_keys()
RETURNS TABLE (
    ordinal integer, table_name text, key_column text, keys_of_fact text, total_column text
)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $month_keys$
    VALUES
    (
        1, 'month_clientes', 'cliente_id',
        '(SELECT fact.cliente_id WHERE fact.cliente_id IS NOT NULL)', 'clientes'
    ),
    (2, 'month_asesores', 'asesor_id', 'unnest(fact.asesor_ids)', 'asesores'),
    (3, 'month_marcas', 'marca', 'unnest(fact.marcas)', 'marcas');
$month_keys$;

COMMENT ON FUNCTION kpi_engine.month_keys() IS
'The reference-count tables in the order of their columns in month_totals: name, column of the '
'key, the keys of a fact (a FROM item that may refer to fact), and the column of month_totals '
'that counts them.';

REVOKE ALL ON FUNCTION kpi_engine.month_keys() FROM public;
