-- Finds the schemas that were bound, under the names that they have now.
--
-- Invariant: the order is that of kpi_engine.sources(). A schema that is gone, and that the src_
-- views do not lead to, keeps its name: kpi_engine.find_source() says what is missing.

CREATE OR REPLACE FUNCTION kpi_engine.bound_schemas()
RETURNS text[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $bound_schemas$
    SELECT array_agg(
        CASE
            WHEN to_regnamespace(quote_ident(sources.source_schema)) IS NULL
                AND cardinality(renamed.names) = 1
                THEN renamed.names[1]
            ELSE sources.source_schema
        END ORDER BY sources.number
    )
    FROM kpi_engine.sources()
    -- Renamed as a whole: every src_ view reads a table of the same schema.
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT pg_namespace.nspname::text) AS names
        FROM pg_rewrite
        INNER JOIN pg_class AS view ON view.oid = pg_rewrite.ev_class
        INNER JOIN pg_depend
            ON pg_depend.classid = 'pg_rewrite'::regclass
            AND pg_depend.objid = pg_rewrite.oid
            AND pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid <> view.oid
        INNER JOIN pg_class AS source ON source.oid = pg_depend.refobjid
        INNER JOIN pg_namespace ON pg_namespace.oid = source.relnamespace
        WHERE
            view.relnamespace = 'kpi_engine'::regnamespace
            AND view.relname IN (
                SELECT sources.view_prefix || substr(contract.view_name, 5)
                FROM kpi_engine.source_contract() AS contract
            )
    ) AS renamed;
$bound_schemas$;

COMMENT ON FUNCTION kpi_engine.bound_schemas() IS
'The schemas of the operational tables that were bound, under their present names; one NULL before '
'the first. Internal to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.bound_schemas() FROM public;
