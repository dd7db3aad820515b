-- Compares the contract with the real tables of one schema.
--
-- Invariant: one row for each row of kpi_engine.source_contract(). problem is NULL if and only if
-- the column can be read as the contract wants.

CREATE OR REPLACE FUNCTION kpi_engine.source_columns(p_schema text, p_generation text)
RETURNS TABLE (
    view_name text,
    column_position integer,
    column_name text,
    value_kind text,
    table_name text,
    found_type text,
    problem text
)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $source_columns$
    WITH contract AS (
        SELECT
            source_contract.*,
            CASE p_generation
                WHEN 'A' THEN source_contract.table_in_a
                ELSE source_contract.table_in_b
            END AS table_name
        FROM kpi_engine.source_contract()
    ),

    found AS (
        SELECT
            contract.*,
            pg_class.oid AS relation,
            pg_class.relrowsecurity AS has_row_security,
            -- Functions that a view calls run with the rights of the reader: ours.
            pg_class.relkind = 'v' AND NOT owner.rolsuper AND owner.rolname <> 'analytics_owner'
            AS is_foreign_view,
            owner.rolname AS owner_name,
            EXISTS (
                SELECT FROM pg_cast
                WHERE pg_cast.castsource = base_type.oid AND pg_cast.castfunc >= 16384
            ) AS has_foreign_cast,
            format_type(base_type.oid, NULL) AS found_type,
            pg_attribute.attgenerated = 'v' AND EXISTS (
                SELECT FROM kpi_engine.noted_tables() AS noted
                WHERE
                    'src_' || noted.view_suffix = contract.view_name
                    AND noted.key_column = contract.column_name
            ) AS is_virtual_key,
            base_type.typcategory AS type_category,
            base_type.oid AS type_oid
        FROM contract
        LEFT JOIN pg_namespace ON pg_namespace.nspname = p_schema
        LEFT JOIN pg_class
            ON pg_class.relnamespace = pg_namespace.oid
            AND pg_class.relname = contract.table_name
            AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f')
        LEFT JOIN pg_roles AS owner ON owner.oid = pg_class.relowner
        LEFT JOIN pg_attribute
            ON pg_attribute.attrelid = pg_class.oid
            AND pg_attribute.attname = contract.column_name
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
        LEFT JOIN pg_type AS base_type
            ON base_type.oid = kpi_engine.base_type(pg_attribute.atttypid)
    )

    SELECT
        found.view_name,
        found.column_position,
        found.column_name,
        found.value_kind,
        found.table_name,
        found.found_type,
        CASE
            WHEN found.relation IS NULL THEN
                format('table %I.%I is missing', p_schema, found.table_name)
            WHEN found.has_row_security AND NOT EXISTS (
                SELECT FROM pg_roles
                WHERE pg_roles.rolname = 'analytics_owner' AND pg_roles.rolbypassrls
            ) THEN
                format(
                    'table %I.%I has row-level security, which would hide rows: '
                    'ALTER ROLE analytics_owner BYPASSRLS', p_schema, found.table_name
                )
            WHEN server.server_name IS NOT NULL THEN
                format(
                    'server %I of foreign table %I.%I %s: %s', server.server_name, p_schema,
                    found.table_name, server.fault, server.remedy
                )
            WHEN found.is_foreign_view THEN
                format(
                    '%I.%I is a view of role %I, whose functions would run with the rights of '
                    'analytics_owner: put a table or a materialized view in its place, or '
                    'ALTER VIEW %1$I.%2$I OWNER TO a superuser', p_schema, found.table_name,
                    found.owner_name
                )
            WHEN found.has_foreign_cast AND found.value_kind = 'text' THEN
                format(
                    'column %I.%I.%I has type %s with a cast function of somebody''s own, which '
                    'would run with the rights of analytics_owner: DROP CAST', p_schema,
                    found.table_name, found.column_name, found.found_type
                )
            WHEN found.found_type IS NULL AND position(p_generation IN found.needed_in) > 0 THEN
                format(
                    'column %I.%I.%I is missing', p_schema, found.table_name, found.column_name
                )
            WHEN found.is_virtual_key THEN
                format(
                    'column %I.%I.%I is a VIRTUAL generated column, which triggers can''t read: make '
                    'it STORED', p_schema, found.table_name, found.column_name
                )
            WHEN NOT CASE found.value_kind
                WHEN 'uuid' THEN found.found_type = 'uuid'
                WHEN 'text' THEN found.type_category IN ('S', 'E')
                WHEN 'boolean' THEN found.found_type = 'boolean'
                WHEN 'integer' THEN found.found_type IN ('smallint', 'integer', 'bigint')
                WHEN 'numeric' THEN found.found_type IN (
                    'smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision'
                )
                WHEN 'day' THEN found.found_type IN (
                    'date', 'timestamp with time zone', 'timestamp without time zone'
                )
                ELSE found.found_type IN (
                    'timestamp with time zone', 'timestamp without time zone'
                )
            END THEN
                format(
                    'column %I.%I.%I has type %s, which is no %s',
                    p_schema, found.table_name, found.column_name, found.found_type,
                    found.value_kind
                )
            WHEN missing.labels IS NOT NULL THEN
                format(
                    'column %I.%I.%I has enum type %s without %s, which the rules of generation %s '
                    'count', p_schema, found.table_name, found.column_name, found.found_type,
                    missing.labels, p_generation
                )
        END
    FROM found
    LEFT JOIN LATERAL kpi_engine.server_fault(found.relation) AS server ON true
    CROSS JOIN LATERAL (
        SELECT kpi_engine.missing_states(
            found.type_oid, found.table_name, found.column_name, p_generation
        ) AS labels
    ) AS missing
    ORDER BY found.column_position;
$source_columns$;

COMMENT ON FUNCTION kpi_engine.source_columns(text, text) IS
'The source contract laid over one schema, read as generation A or B: for each column its '
'type there and what is wrong with it, or NULL.';

REVOKE ALL ON FUNCTION kpi_engine.source_columns(text, text) FROM public;
