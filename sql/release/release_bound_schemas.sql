-- The schemas that were bound, under the names that they have now; a NULL: none yet.

CREATE FUNCTION pg_temp.release_bound_schemas()
RETURNS text[]
LANGUAGE sql
AS $release_bound_schemas$
    SELECT array_agg(
        CASE
            WHEN to_regnamespace(quote_ident(sources.source_schema)) IS NOT NULL
                OR cardinality(renamed.names) <> 1
                THEN sources.source_schema
            ELSE renamed.names[1]
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
    ) AS renamed
$release_bound_schemas$;
