-- Makes the definition of a table that is kept by key one over all origins.
--
-- Invariant: each origin's rows are computed as if the others were not there: from the views over
-- its own tables, by the definition that the file has. So rows of two origins never meet in a join,
-- and the planner sees the same query as over one schema, once for each origin. The column origen
-- says where a row is from.
-- Over one schema it does nothing, and no column origen is made.

CREATE OR REPLACE FUNCTION kpi_engine.unite_origins(p_table_name text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $unite_origins$
DECLARE
    v_definition constant text := kpi_engine.definition_of(p_table_name);
    v_united text;
BEGIN
    SELECT string_agg(
        format(
            'SELECT defined.*, %L::text AS origen FROM (%s) AS defined',
            sources.origen,
            kpi_engine.query_over(v_definition, (
                SELECT jsonb_object_agg(
                    contract.view_name,
                    format(
                        'SELECT * FROM kpi_engine.%I',
                        sources.view_prefix || substr(contract.view_name, 5)
                    )
                )
                FROM (
                    SELECT DISTINCT source_contract.view_name FROM kpi_engine.source_contract()
                ) AS contract
                WHERE v_definition ~ format('\mkpi_engine\.%s\M', contract.view_name)
            ))
        ),
        ' UNION ALL ' ORDER BY sources.number
    )
    INTO v_united
    FROM kpi_engine.sources()
    WHERE sources.origen IS NOT NULL;
    IF v_united IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE VIEW kpi_engine.%I AS %s', 'recomputed_' || p_table_name, v_united
    );
    EXECUTE format(
        'COMMENT ON COLUMN kpi_engine.%I.origen IS %L', 'recomputed_' || p_table_name,
        'The schema that the row is from.'
    );
END;
$unite_origins$;

COMMENT ON FUNCTION kpi_engine.unite_origins(text) IS
'Replaces the view recomputed_<p_table_name>, as its file just made it, by one that unites the '
'rows of all origins and has the column origen; does nothing over one schema. Internal to '
'kpi_engine.declare_derived_table().';

REVOKE ALL ON FUNCTION kpi_engine.unite_origins(text) FROM public;
