-- Lists where an outside table is no longer what its view was declared for, or can't be watched.
--
-- Invariant: no fatal row if and only if the name of the declaration means the table that the view
-- reads, with the columns and the server of the declaration, and analytics_owner may read all its
-- rows. It looks into the catalog alone: it never asks another server. needs_build: the view has to
-- be built anew.
-- A restored or copied database may reach another server by the same name of a host. So a foreign
-- table has to be confirmed there.

CREATE OR REPLACE FUNCTION kpi_engine.outside_problems(p_view_name text DEFAULT NULL)
RETURNS TABLE (
    view_name text,
    source_name text,
    is_fatal boolean,
    needs_build boolean,
    message text,
    remedy text
)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
SET jit = off
AS $outside_problems$
#variable_conflict use_column
DECLARE
    c_confirm constant text := 'SELECT analytics.bind_outside_sources();';
    v_here text;
BEGIN
    -- Usually nothing is declared.
    IF NOT EXISTS (SELECT FROM kpi_engine.outside_sources) THEN
        RETURN;
    END IF;
    v_here := kpi_engine.database_identity();
    RETURN QUERY
        WITH declared AS (
            SELECT
                outside_sources.*,
                outside_sources.database_identity = v_here AS is_here,
                kpi_engine.outside_relation(outside_sources.source_name) AS named
            FROM kpi_engine.outside_sources
            WHERE p_view_name IS NULL OR outside_sources.view_name = p_view_name
        ),

        -- A view that make migrate builds aside is not in its schema yet.
        viewed AS (
            SELECT
                declared.*,
                coalesce(
                    (
                        SELECT pg_class.oid FROM pg_class
                        WHERE declared.is_here AND pg_class.oid = declared.view_relation
                    ),
                    to_regclass(format('analytics.%I', declared.view_name))::oid
                ) AS view_now
            FROM declared
        ),

        bound AS (
            SELECT
                viewed.*,
                kpi_engine.outside_binding(viewed.view_now, viewed.named) AS binding_now,
                -- Of an infinite one it makes NULL.
                coalesce(kpi_engine.iso_instant(viewed.as_of), viewed.as_of::text) AS as_of_words,
                CASE WHEN viewed.is_here THEN (
                    SELECT pg_class.oid::regclass FROM pg_class
                    WHERE pg_class.oid = viewed.source_relation AND pg_class.oid <> viewed.named
                    OR pg_class.oid = viewed.source_relation AND viewed.named IS NULL
                ) END AS read_instead
            FROM viewed
            -- A view that is gone is a failure of its own.
            WHERE viewed.view_now IS NOT NULL
        )

        SELECT
            bound.view_name,
            bound.source_name,
            true,
            true,
            format(
                CASE
                    WHEN bound.named IS NULL THEN 'table %s of view %s is gone%s'
                    ELSE '%s is another table than the one that view %s reads%s'
                END,
                bound.source_name, bound.view_name, ', which is ' || bound.read_instead || ' now'
            ),
            'give the table its name back, or make migrate'
        FROM bound
        WHERE bound.binding_now IS NULL
        UNION ALL
        SELECT
            bound.view_name,
            bound.source_name,
            true,
            true,
            format(
                'view %s was declared for %s with columns %s, and reads %s %s now',
                bound.view_name, bound.source_name, bound.binding -> 'columns',
                CASE bound.binding_now ->> 'kind'
                    WHEN 'f' THEN 'a foreign table with'
                    ELSE 'a table with'
                END,
                bound.binding_now -> 'columns'
            ),
            'put it back, or make migrate'
        FROM bound
        WHERE
            (bound.binding -> 'kind', bound.binding -> 'columns')
            <> (bound.binding_now -> 'kind', bound.binding_now -> 'columns')
        UNION ALL
        -- No trigger fires when a value of an enum is renamed. One that is new is no fault.
        SELECT
            bound.view_name,
            bound.source_name,
            true,
            true,
            format(
                'view %s was declared for %s with the values %s of column %I, and reads %s now',
                bound.view_name, bound.source_name, declared_labels.labels,
                declared_labels.column_name, bound.binding_now -> 'labels'
            ),
            'put them back, or change the view and make migrate'
        FROM bound
        CROSS JOIN LATERAL jsonb_each(bound.binding -> 'labels') AS declared_labels (
            column_name, labels
        )
        WHERE
            bound.binding_now IS NOT NULL
            AND declared_labels.labels IS DISTINCT FROM (
                SELECT jsonb_agg(label_now.label ORDER BY label_now.position)
                FROM jsonb_array_elements(
                    bound.binding_now -> 'labels' -> declared_labels.column_name
                ) WITH ORDINALITY AS label_now (label, position)
                WHERE declared_labels.labels @> label_now.label
            )
        UNION ALL
        -- Its server, its limits and its columns are not looked at.
        SELECT
            bound.view_name,
            bound.source_name,
            true,
            false,
            format(
                'part %s of table %s of view %s is a foreign table, of another server',
                part.relation, bound.source_name, bound.view_name
            ),
            format(
                'ALTER TABLE %s %s; then let the view read it beside the table, and declare it by a '
                'call of its own', part.parent, CASE
                    WHEN part.is_partition THEN 'DETACH PARTITION ' || part.relation
                    ELSE format('(%s) NO INHERIT %s', part.relation, part.parent)
                END
            )
        FROM bound
        CROSS JOIN LATERAL (
            WITH RECURSIVE below AS (
                SELECT bound.named AS relation, NULL::oid AS parent
                UNION
                SELECT pg_inherits.inhrelid, pg_inherits.inhparent
                FROM below
                INNER JOIN pg_inherits ON pg_inherits.inhparent = below.relation
            )

            SELECT
                below.relation::regclass AS relation,
                below.parent::regclass AS parent,
                pg_class.relispartition AS is_partition
            FROM below
            INNER JOIN pg_class ON pg_class.oid = below.relation AND pg_class.relkind = 'f'
            WHERE below.parent IS NOT NULL
        ) AS part
        UNION ALL
        SELECT
            bound.view_name,
            bound.source_name,
            true,
            false,
            format(
                'foreign table %s of view %s was declared for server %s, %s, and leads to %s, %s now',
                bound.source_name, bound.view_name, bound.binding ->> 'server',
                bound.binding -> 'options', bound.binding_now ->> 'server',
                bound.binding_now -> 'options'
            ),
            'put it back; or if that is right: ' || c_confirm
        FROM bound
        WHERE
            (bound.binding -> 'server', bound.binding -> 'options')
            <> (bound.binding_now -> 'server', bound.binding_now -> 'options')
        UNION ALL
        SELECT
            bound.view_name,
            bound.source_name,
            true,
            false,
            format(
                'this database was restored or copied, and view %s reads the foreign table %s: server '
                '%s, %s, may be another one from here', bound.view_name, bound.source_name,
                bound.binding_now ->> 'server', bound.binding_now -> 'options'
            ),
            'if it is right: ' || c_confirm
        FROM bound
        WHERE NOT bound.is_here AND bound.binding_now ->> 'kind' = 'f'
        UNION ALL
        SELECT
            bound.view_name,
            bound.source_name,
            true,
            false,
            format('analytics_owner may not read %s of view %s', CASE
                WHEN NOT may.use_schema
                    THEN format('schema %I, where table %s is,', pg_namespace.nspname, bound.source_name)
                ELSE 'table ' || bound.source_name
            END, bound.view_name),
            format('GRANT %s TO analytics_owner; as its owner', CASE
                WHEN NOT may.use_schema THEN format('USAGE ON SCHEMA %I', pg_namespace.nspname)
                ELSE 'SELECT ON ' || bound.source_name
            END)
        FROM bound
        INNER JOIN pg_class ON pg_class.oid = bound.named
        INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        CROSS JOIN LATERAL (
            SELECT
                has_schema_privilege('analytics_owner', pg_namespace.oid, 'USAGE') AS use_schema,
                has_table_privilege('analytics_owner', bound.named, 'SELECT') OR NOT EXISTS (
                    SELECT FROM jsonb_object_keys(bound.binding_now -> 'columns') AS read (name)
                    WHERE NOT has_column_privilege(
                        'analytics_owner', bound.named, read.name, 'SELECT')
                ) AS read_table
        ) AS may
        WHERE bound.binding_now IS NOT NULL AND NOT (may.use_schema AND may.read_table)
        UNION ALL
        SELECT
            bound.view_name,
            bound.source_name,
            true,
            false,
            format(
                'row-level security of table %s hides rows from analytics_owner, and view %s reads it',
                bound.source_name, bound.view_name
            ),
            'ALTER ROLE analytics_owner BYPASSRLS; as a superuser'
        FROM bound
        INNER JOIN pg_class ON pg_class.oid = bound.named
        WHERE kpi_engine.hides_rows(
            'analytics_owner'::regrole, pg_class.relowner, pg_class.relrowsecurity,
            pg_class.relforcerowsecurity
        )
        UNION ALL
        -- Without these a server that hangs would hold up the refresh, and one that hides rows would
        -- give a wrong number.
        SELECT
            bound.view_name,
            bound.source_name,
            true,
            false,
            format(
                'server %I of foreign table %s of view %s %s',
                server.server_name, bound.source_name, bound.view_name, server.fault
            ),
            server.remedy
        FROM bound
        CROSS JOIN LATERAL kpi_engine.server_fault(bound.named) AS server
        UNION ALL
        SELECT
            bound.view_name,
            bound.source_name,
            false,
            false,
            format(
                'the triggers that note changes of table %s of view %s are missing or disabled: each '
                'refresh reads it anew', bound.source_name, bound.view_name
            ),
            'SELECT analytics.watch_outside_sources(); as the owner of the table'
        FROM bound
        WHERE
            bound.watch = 'triggers'
            AND bound.binding_now IS NOT NULL
            AND NOT (SELECT triggers.are_working FROM kpi_engine.outside_triggers(bound.named) AS triggers)
        UNION ALL
        SELECT
            bound.view_name,
            bound.source_name,
            false,
            false,
            format(
                'table %s of view %s is complete only until %s, which is longer ago than %s',
                bound.source_name, bound.view_name, bound.as_of_words, bound.max_age
            ),
            'look at the service that feeds it'
        FROM bound
        WHERE bound.as_of < analytics.now() - least(bound.max_age, interval '1000 years')
        UNION ALL
        SELECT
            bound.view_name,
            bound.source_name,
            false,
            false,
            format(
                'subscription %I, which brings table %s of view %s, %s: the view lacks what is not '
                'here yet', feeding.subscription, bound.source_name, bound.view_name, feeding.cause
            ),
            feeding.remedy
        FROM bound
        CROSS JOIN LATERAL kpi_engine.feeding(bound.named) AS feeding
        WHERE feeding.cause IS NOT NULL
        UNION ALL
        -- It would never be old.
        SELECT
            bound.view_name,
            bound.source_name,
            false,
            false,
            format(
                'table %s of view %s is said to be complete until %s, which is in the future',
                bound.source_name, bound.view_name, bound.as_of_words
            ),
            'look at the service that feeds it, and at p_as_of'
        FROM bound
        WHERE
            bound.as_of_query IS NOT NULL
            AND bound.as_of
            > greatest(analytics.now(), clock_timestamp()) + kpi_engine.clock_tolerance();
END;
$outside_problems$;

COMMENT ON FUNCTION kpi_engine.outside_problems(text) IS
'What is wrong with the declared outside tables, of all views or one: is_fatal if the view is not '
'refreshed until it is mended; needs_build if make migrate has to build the view anew; what mends '
'it. Internal to the refresh, health, the doctor and make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.outside_problems(text) FROM public;
