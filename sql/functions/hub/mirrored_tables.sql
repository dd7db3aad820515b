-- The tables of facts that a hub has a mirror of, and the parts of the statements that fill it.

CREATE OR REPLACE FUNCTION kpi_engine.mirrored_tables()
RETURNS TABLE (
    table_name text,
    mirror text,
    key_column text,
    entity text,
    remote_columns text,
    columns text,
    value_columns text,
    known_values text,
    excluded_values text,
    types text
)
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $mirrored_tables$
    SELECT
        derived_tables.table_name,
        format('%I', 'hub_' || derived_tables.table_name),
        derived_tables.key_columns[1],
        (
            SELECT entity.key
            FROM jsonb_each_text(derived_tables.entities) AS entity
            WHERE entity.value = derived_tables.key_columns[1]
        ),
        kpi_engine.column_list(
            derived_tables.key_columns || derived_tables.value_columns, 'facts.%1$I'),
        kpi_engine.column_list(ARRAY['id'] || derived_tables.value_columns),
        kpi_engine.column_list(derived_tables.value_columns),
        kpi_engine.column_list(derived_tables.value_columns, 'known.%1$I'),
        kpi_engine.column_list(derived_tables.value_columns, 'excluded.%1$I'),
        (
            SELECT string_agg(
                format('%I %s', CASE
                    WHEN pg_attribute.attname = derived_tables.key_columns[1] THEN 'id'
                    ELSE pg_attribute.attname
                END, format_type(pg_attribute.atttypid, pg_attribute.atttypmod)), ', '
                ORDER BY listed.place
            )
            FROM unnest(derived_tables.key_columns || derived_tables.value_columns)
                WITH ORDINALITY AS listed (name, place)
            INNER JOIN pg_attribute
                ON
                    pg_attribute.attrelid
                    = format('kpi_engine.%I', 'recomputed_' || derived_tables.table_name)::regclass
                    AND pg_attribute.attname = listed.name
        )
    FROM kpi_engine.derived_tables
    WHERE derived_tables.upkeep = 'key'
    ORDER BY derived_tables.table_name;
$mirrored_tables$;

COMMENT ON FUNCTION kpi_engine.mirrored_tables() IS
'One row per table of facts, by name: its mirror, key and entity, and the lists of its columns at '
'a site and here. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.mirrored_tables() FROM public;
