-- Gives a hub empty operational tables, so that everything that reads the source works there.
--
-- Invariant: they have the tables and columns of the contract, and nobody writes them. What a hub
-- counts comes from the mirror of its sites.

CREATE OR REPLACE FUNCTION kpi_engine.make_hub_source()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $make_hub_source$
DECLARE
    v_table record;
BEGIN
    FOR v_table IN
        SELECT
            contract.table_in_a AS name,
            string_agg(
                format('%I %s%s', contract.column_name, CASE contract.value_kind
                    WHEN 'instant' THEN 'timestamptz'
                    WHEN 'day' THEN 'date'
                    ELSE contract.value_kind
                END, CASE contract.column_name WHEN 'id' THEN ' PRIMARY KEY' ELSE '' END), ', '
                ORDER BY contract.column_position
            ) AS columns
        FROM kpi_engine.source_contract() AS contract
        WHERE contract.value_kind <> 'instant as stored'
        GROUP BY contract.table_in_a
    LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS kpi_engine.%I (%s)', v_table.name, v_table.columns);
        EXECUTE format(
            'COMMENT ON TABLE kpi_engine.%I IS %L', v_table.name,
            'Empty: a hub has no operational tables. Its figures come from its sites.'
        );
    END LOOP;
END;
$make_hub_source$;

COMMENT ON FUNCTION kpi_engine.make_hub_source() IS
'Creates the empty tables that stand for the operational tables at a hub. A column that a later '
'contract adds: drop the table, and run make migrate. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.make_hub_source() FROM public;
