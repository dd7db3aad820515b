-- Checksums the rules of each derived table.
--
-- Invariant: the checksum changes if the code of a file changes that decides what is in the table,
-- or if one of its sources is bound differently. migrate writes into kpi_engine.derived_rules which
-- files these are. It follows the references.

CREATE OR REPLACE FUNCTION kpi_engine.rules_of_derived_tables()
RETURNS TABLE (table_name text, checksum text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rules_of_derived_tables$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each refresh calls this.
    RETURN QUERY
        SELECT
            rules.table_name,
            md5(string_agg(
                migration_ledger.name || migration_ledger.checksum, ',' ORDER BY migration_ledger.name
            ))
        FROM (
            SELECT derived_rules.table_name, derived_rules.rule_name
            FROM kpi_engine.derived_rules
            UNION ALL
            -- The views over each of several origins.
            SELECT
                derived_rules.table_name,
                regexp_replace(derived_rules.rule_name, '\.src_', format('.src_%s_', origins.number))
            FROM kpi_engine.origins
            INNER JOIN kpi_engine.derived_rules
                ON derived_rules.rule_name LIKE '%.src\_%'
        ) AS rules
        INNER JOIN kpi_engine.migration_ledger ON migration_ledger.name = rules.rule_name
        GROUP BY rules.table_name;
END;
$rules_of_derived_tables$;

COMMENT ON FUNCTION kpi_engine.rules_of_derived_tables() IS
'Checksum of the rules by which each derived table is computed, and of the binding of its sources.';

REVOKE ALL ON FUNCTION kpi_engine.rules_of_derived_tables() FROM public;
