-- Lists where the operational tables are no longer what the src_ views read.
--
-- Invariant: no row if and only if each src_ view reads, in full, the table and the columns that
-- have the names of the contract now, and lookups by index find all rows. A row with is_fatal means
-- that numbers can't be computed. Other rows mean that the views leave something out that the
-- contract would use. A refresh, the tick, health, the doctor and migrate all use this one check.

CREATE OR REPLACE FUNCTION analytics.source_problems(p_even_restored boolean DEFAULT false)
RETURNS TABLE (problem text, is_fatal boolean, view_name text, message text, remedy text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
SET jit = off
AS $source_problems$
#variable_conflict use_column
DECLARE
    v_state kpi_engine.engine_state;
    v_now record;
    v_collation_fault text;
BEGIN
    IF kpi_engine.is_settled() THEN
        RETURN;
    END IF;
    v_collation_fault := kpi_engine.collation_fault();
    IF v_collation_fault IS NOT NULL THEN
        RETURN QUERY VALUES (
            'source_hidden', true, NULL::text, v_collation_fault,
            format(
                'REINDEX DATABASE CONCURRENTLY %1$I; then ALTER DATABASE %1$I REFRESH COLLATION '
                'VERSION; as its owner', current_database())
        );
    END IF;
    SELECT engine_state.* INTO v_state FROM kpi_engine.engine_state;
    v_now := kpi_engine.source_now();
    IF v_state.source_binding IS NULL
        OR (
            v_state.source_binding = v_now.binding
            AND v_state.source_values = v_now.enum_values
            AND v_now.is_readable
        )
        -- After a restore every table has another number: kpi_engine.settle_source() binds again, if
        -- each view reads the table that has the name.
        OR (
            NOT p_even_restored
            AND v_state.database_identity <> kpi_engine.database_identity()
            AND NOT EXISTS (
                SELECT FROM jsonb_each(v_now.binding) AS fresh
                WHERE fresh.value -> 'table' IS DISTINCT FROM fresh.value -> 'reads'
            )
        ) THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH source AS (
            SELECT
                known.key AS view_name,
                known.value AS known,
                fresh.value AS fresh,
                (known.value ->> 'table')::oid AS known_relation,
                (fresh.value ->> 'table')::oid AS relation,
                (fresh.value ->> 'reads')::oid AS reads,
                format('%I.%I', contract.source_schema, contract.table_name) AS name
            FROM jsonb_each(v_state.source_binding) AS known
            LEFT JOIN jsonb_each(v_now.binding) AS fresh ON fresh.key = known.key
            INNER JOIN (
                SELECT DISTINCT
                    source_names.view_name, source_names.source_schema, source_names.table_name
                FROM kpi_engine.source_names()
            ) AS contract ON contract.view_name = known.key
        ),

        known_column AS (
            SELECT
                source.view_name,
                source.name,
                source.relation,
                source.known_relation,
                columns.key AS column_name,
                (columns.value ->> 0)::smallint AS known_number,
                (columns.value ->> 1)::oid AS known_type,
                EXISTS (
                    SELECT FROM kpi_engine.source_names() AS contract
                    WHERE
                        contract.view_name = source.view_name
                        AND contract.column_name = columns.key
                        AND contract.is_needed
                ) AS is_needed,
                moved.name AS moved_to,
                (source.fresh -> 'columns' -> columns.key ->> 0)::smallint AS number,
                (source.fresh -> 'columns' -> columns.key ->> 1)::oid AS type
            FROM source
            CROSS JOIN LATERAL jsonb_each(source.known -> 'columns') AS columns
            LEFT JOIN LATERAL (
                SELECT pg_attribute.attname AS name
                FROM pg_attribute
                WHERE
                    pg_attribute.attrelid = source.relation
                    AND pg_attribute.attnum = (columns.value ->> 0)::smallint
                    AND pg_attribute.attname <> columns.key
                    AND NOT pg_attribute.attisdropped
            ) AS moved ON true
        ),

        label AS (
            SELECT
                known.key AS column_name,
                labels.key::oid AS number,
                labels.value AS known_label,
                v_now.enum_values -> known.key ->> labels.key AS label
            FROM jsonb_each(v_state.source_values) AS known
            CROSS JOIN LATERAL jsonb_each_text(
                CASE jsonb_typeof(known.value) WHEN 'object' THEN known.value ELSE '{}' END
            ) AS labels
        )

        SELECT
            'source_moved', true, source.view_name,
            CASE
                WHEN source.relation IS NULL THEN format(
                    'table %s is gone%s', source.name,
                    CASE
                        WHEN source.reads IS NOT NULL THEN format(
                            '; kpi_engine.%I reads %s', source.view_name, source.reads::regclass)
                        ELSE format(', and view kpi_engine.%I with it', source.view_name)
                    END
                )
                WHEN source.reads IS NULL AND NOT EXISTS (
                    SELECT FROM pg_class
                    WHERE
                        pg_class.relnamespace = 'kpi_engine'::regnamespace
                        AND pg_class.relname = source.view_name
                )
                    THEN format('view kpi_engine.%I over table %s is gone',
                        source.view_name, source.name)
                WHEN source.reads IS NULL THEN format(
                    'view kpi_engine.%I was released from table %s', source.view_name, source.name)
                WHEN source.reads <> source.relation THEN format(
                    '%s is another table than the one that kpi_engine.%I reads, which is %s now',
                    source.name, source.view_name, source.reads::regclass
                )
                WHEN source.relation <> source.known_relation
                    THEN format('table %s was made again', source.name)
                ELSE format('view kpi_engine.%I was changed by hand', source.view_name)
            END,
            'make migrate'
        FROM source
        WHERE
            (source.fresh -> 'table', source.fresh -> 'reads', source.fresh -> 'rule')
            IS DISTINCT FROM
            (source.known -> 'table', source.known -> 'reads', source.known -> 'rule')
            -- However it came to be noted.
            OR source.reads IS DISTINCT FROM source.relation
        UNION ALL
        SELECT
            'source_moved', true, known_column.view_name,
            CASE
                WHEN known_column.number IS NULL THEN format(
                    'column %s.%I is gone%s', known_column.name, known_column.column_name,
                    ': it is called ' || quote_ident(known_column.moved_to) || ' now'
                )
                WHEN known_column.number <> known_column.known_number THEN format(
                    'column %s.%I is another column than the one that kpi_engine.%I reads%s',
                    known_column.name, known_column.column_name, known_column.view_name,
                    ', which is called ' || quote_ident(known_column.moved_to) || ' now'
                )
                ELSE format(
                    'column %s.%I has type %s, kpi_engine.%I was made for %s',
                    known_column.name, known_column.column_name,
                    format_type(known_column.type, NULL), known_column.view_name,
                    format_type(known_column.known_type, NULL)
                )
            END,
            -- The contract goes by names: migrate does not follow a name.
            CASE
                WHEN known_column.number IS NOT NULL OR NOT known_column.is_needed
                    THEN 'make migrate'
                WHEN known_column.moved_to IS NULL THEN format(
                    'give table %s a column %I again, which the KPIs need, then make migrate',
                    known_column.name, known_column.column_name
                )
                ELSE format(
                    'ALTER TABLE %s RENAME COLUMN %I TO %I; as its owner',
                    known_column.name, known_column.moved_to, known_column.column_name
                )
            END
        FROM known_column
        WHERE
            known_column.relation = known_column.known_relation
            AND (known_column.number, known_column.type)
            IS DISTINCT FROM (known_column.known_number, known_column.known_type)
        UNION ALL
        SELECT
            'source_moved', true, NULL,
            format(
                'value %L of enum type %s, which %s has and the rules of the KPIs count, is called '
                '%L now', label.known_label, pg_enum.enumtypid::regtype, label.column_name, label.label
            ),
            format('ALTER TYPE %s RENAME VALUE %L TO %L;',
                pg_enum.enumtypid::regtype, label.label, label.known_label)
        FROM label
        INNER JOIN pg_enum ON pg_enum.oid = label.number
        WHERE
            label.label <> label.known_label
            AND label.known_label IN (
                SELECT counted.label FROM kpi_engine.counted_states() AS counted
            )
        UNION ALL
        SELECT
            'source_moved', false, source.view_name,
            format(
                'column %s.%I is new, and kpi_engine.%I does not read it yet',
                source.name, added.key, source.view_name
            ),
            'make migrate'
        FROM source
        CROSS JOIN LATERAL jsonb_each(source.fresh -> 'columns') AS added
        WHERE
            source.relation = source.known_relation
            AND NOT source.known -> 'columns' ? added.key
        UNION ALL
        SELECT
            'source_hidden', true, source.view_name,
            format('row-level security of table %s hides rows from role %s', source.name, owner.name),
            format('ALTER ROLE %I BYPASSRLS; as a superuser', owner.name)
        FROM source
        INNER JOIN pg_class AS view
            ON view.relnamespace = 'kpi_engine'::regnamespace AND view.relname = source.view_name
        INNER JOIN pg_class AS table_read ON table_read.oid = source.relation
        CROSS JOIN LATERAL (SELECT pg_get_userbyid(view.relowner) AS name) AS owner
        WHERE kpi_engine.hides_rows(
            view.relowner, table_read.relowner, table_read.relrowsecurity,
            table_read.relforcerowsecurity
        )
        UNION ALL
        SELECT
            'source_hidden', true, NULL,
            format(
                'temporary table %s of this session is below an operational table, and nobody else '
                'sees its rows', temporary.name
            ),
            format('DROP TABLE %s; or do it in another session', temporary.name)
        FROM (SELECT kpi_engine.temporary_part() AS name) AS temporary
        WHERE temporary.name IS NOT NULL
        UNION ALL
        SELECT
            'source_hidden', true, NULL,
            format(
                'server %I of foreign table %s %s', server.server_name,
                string_agg(captured.relation::regclass::text, ', ' ORDER BY captured.relation),
                server.fault
            ),
            server.remedy
        FROM kpi_engine.captured_tables() AS captured
        CROSS JOIN LATERAL kpi_engine.server_fault(captured.relation) AS server
        -- A table above ours is not read.
        WHERE captured.place <> 'whole'
        GROUP BY server.server_name, server.fault, server.remedy
        UNION ALL
        SELECT
            'source_hidden', true, unreadable.view_name,
            format('role %s may not read %s of table %s', unreadable.role_name, CASE
                WHEN unreadable.is_whole THEN 'any column'
                ELSE 'column ' || unreadable.columns
            END, unreadable.name),
            format('GRANT SELECT ON %s TO %I; as its owner', unreadable.name, unreadable.role_name)
        FROM (
            SELECT
                known_column.view_name,
                known_column.name,
                pg_get_userbyid(view.relowner) AS role_name,
                bool_and(NOT may.read) AS is_whole,
                string_agg(quote_ident(known_column.column_name), ', ' ORDER BY known_column.number)
                    FILTER (WHERE NOT may.read) AS columns
            FROM known_column
            INNER JOIN pg_class AS view
                ON
                    view.relnamespace = 'kpi_engine'::regnamespace
                    AND view.relname = known_column.view_name
            CROSS JOIN LATERAL (
                SELECT coalesce(has_column_privilege(
                    view.relowner, known_column.relation, known_column.number, 'SELECT'
                ), true) AS read
            ) AS may
            GROUP BY known_column.view_name, known_column.name, view.relowner
        ) AS unreadable
        WHERE unreadable.columns IS NOT NULL;
END;
$source_problems$;

COMMENT ON FUNCTION analytics.source_problems(boolean) IS
'Where the operational tables and the src_ views do not fit together: source_moved (a table, '
'column or enum value was swapped, moved, renamed, dropped, or is new), source_hidden (rows or '
'columns can''t be read, or an index may miss them); is_fatal if a refresh refuses to run; what is '
'wrong; what mends it. No row: nothing has changed since the tables were bound.';

REVOKE ALL ON FUNCTION analytics.source_problems(boolean) FROM public;
