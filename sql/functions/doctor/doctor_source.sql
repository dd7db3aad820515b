-- The checks of the doctor about the operational tables and change capture.
--
-- Invariant: it reads the source as analytics_owner for each caller. PostgreSQL may run code of the
-- owners of source tables with the rights of the reader (kpi_engine.foreign_code).
-- SECURITY DEFINER for that; granted to nobody. So only roles that may act as analytics_owner get
-- an answer.

CREATE OR REPLACE FUNCTION kpi_engine.doctor_source(p_check text, p_counts boolean)
RETURNS TABLE (status text, message text, fixes text[])
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
SET jit = off
SET row_security = off
AS $doctor_source$
#variable_conflict use_column
DECLARE
    c_capture constant text := kpi_engine.capture_call();
    v_is_on boolean;
    v_gap text;
    v_requests bigint;
BEGIN
    IF p_check IN ('contract', 'right to read') THEN
        IF EXISTS (
            SELECT FROM kpi_engine.sources() AS source WHERE source.source_schema IS NULL
        ) THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    'kpi_engine.installation names no operational tables',
                    ARRAY['-- $ make migrate'];
            RETURN;
        END IF;
    ELSIF p_check IN ('change capture', 'ways around capture') THEN
        v_is_on := analytics.setting('change_capture') = 'on';
    ELSIF
        p_check IN ('requests without a month', 'values that can''t be counted') AND NOT p_counts
    THEN
        RETURN QUERY
            SELECT 'unchecked', 'left out (make doctor: by --no-counts)', ARRAY[]::text[];
        RETURN;
    END IF;
    CASE p_check
        WHEN 'contract' THEN
            RETURN QUERY
                WITH problem AS (
                    SELECT DISTINCT
                        found.problem AS message,
                        -- A missing object may exist under another name.
                        regexp_replace(found.problem, ' is missing$', '') || ' is gone' AS gone,
                        regexp_replace(found.problem, '^.*: ', '') AS remedy
                    FROM kpi_engine.sources() AS source
                    CROSS JOIN LATERAL kpi_engine.source_columns(
                        source.source_schema, source.source_generation
                    ) AS found
                    WHERE found.problem IS NOT NULL
                ),

                moved AS (
                    SELECT
                        problems.message,
                        problems.remedy,
                        problems.is_fatal
                    FROM analytics.source_problems() AS problems
                    -- The check of the rights says these, with the same statements.
                    WHERE problems.remedy NOT LIKE 'GRANT %'
                ),

                finding AS (
                    SELECT
                        1 AS place,
                        problem.message || coalesce((
                            SELECT string_agg(
                                substr(moved.message, length(problem.gone) + 1), ''
                                ORDER BY moved.message
                            )
                            FROM moved
                            WHERE starts_with(moved.message, problem.gone)
                        ), '') AS message,
                        CASE
                            WHEN problem.remedy LIKE 'ALTER %'
                                THEN problem.remedy || ';  -- as a superuser'
                            ELSE '-- Put it back as docs/source.md has it, then run: make migrate'
                        END AS fix
                    FROM problem
                    UNION ALL
                    SELECT
                        CASE WHEN moved.is_fatal THEN 2 ELSE 3 END,
                        moved.message,
                        CASE
                            WHEN moved.remedy = 'make migrate' THEN '-- $ make migrate'
                            -- A statement, then perhaps a semicolon and who may run it.
                            ELSE regexp_replace(moved.remedy, ';( .*)?$', '') || ';' || coalesce(
                                '  -- ' || ltrim(substring(moved.remedy FROM ';( .*)?$')), ''
                            )
                        END
                    FROM moved
                    WHERE NOT EXISTS (
                        SELECT FROM problem WHERE starts_with(moved.message, problem.gone)
                    )
                )

                SELECT 'wrong', finding.message, ARRAY[finding.fix]
                FROM finding
                ORDER BY finding.place, finding.message;
            IF NOT FOUND THEN
                RETURN QUERY
                    SELECT
                        'wrong',
                        'the operational tables changed after they were bound: '
                        || string_agg(views.view_name, ', ' ORDER BY views.view_name),
                        ARRAY['-- $ make migrate']
                    FROM kpi_engine.source_definitions() AS views
                    LEFT JOIN analytics.migration_ledger
                        ON migration_ledger.name = 'kpi_engine.' || views.view_name
                    WHERE
                        to_regclass(format('kpi_engine.%I', views.view_name)) IS NULL
                        OR migration_ledger.text_checksum IS DISTINCT FROM
                        encode(sha256(convert_to(views.definition, 'UTF8')), 'hex')
                    HAVING count(*) > 0;
            END IF;
            RETURN QUERY
                SELECT
                    'ok',
                    string_agg(
                        format(
                            'schema %s, generation %s%s', source.source_schema,
                            source.source_generation,
                            ', without ' || missing.columns || ' (NULL in the facts)'
                        ),
                        '; ' ORDER BY source.number
                    ),
                    ARRAY[]::text[]
                FROM kpi_engine.sources() AS source
                CROSS JOIN LATERAL (
                    SELECT
                        string_agg(
                            format('%s.%s', found.table_name, found.column_name), ', '
                            ORDER BY found.column_position
                        ) AS columns
                    FROM kpi_engine.source_columns(
                        source.source_schema, source.source_generation
                    ) AS found
                    WHERE found.found_type IS NULL AND found.problem IS NULL
                ) AS missing;
        WHEN 'right to read' THEN
            RETURN QUERY
                SELECT
                    'wrong',
                    'analytics_owner lacks a right: ' || need.statement,
                    ARRAY[need.statement || ';']
                FROM kpi_engine.sources() AS source
                CROSS JOIN LATERAL kpi_engine.source_needs(source.source_schema, (
                    SELECT array_agg(DISTINCT found.table_name ORDER BY found.table_name)
                    FROM kpi_engine.source_columns(
                        source.source_schema, source.source_generation
                    ) AS found
                )) AS need
                WHERE NOT need.is_met;
        WHEN 'code of others' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        '%s of %s calls %s of role %s: PostgreSQL may run it with the rights of '
                        'analytics_owner when it plans a refresh',
                        code.object, code.relation::regclass, code.routine, code.owner
                    ),
                    ARRAY[format(
                        '-- Let a superuser read the function, then own it: ALTER FUNCTION %s OWNER '
                        'TO a superuser; or drop what calls it.', code.routine
                    )]
                FROM kpi_engine.foreign_code() AS code
                ORDER BY code.relation::regclass::text, code.object, code.routine;
        WHEN 'change capture' THEN
            v_gap := analytics.capture_gap();
            IF v_is_on AND v_gap IS NOT NULL THEN
                RETURN QUERY
                    SELECT 'wrong', concat_ws('; ', v_gap, cure.reason), cure.statements
                    FROM kpi_engine.capture_cure() AS cure;
            END IF;
            RETURN QUERY
                SELECT
                    'warning',
                    'triggers that are not needed are on '
                    || string_agg(DISTINCT triggers.relation::regclass::text, ', '),
                    ARRAY[c_capture]
                FROM kpi_engine.capture_triggers() AS triggers
                WHERE triggers.is_present AND (triggers.definition IS NULL OR NOT v_is_on)
                HAVING count(*) > 0;
            RETURN QUERY
                SELECT
                    'ok',
                    CASE
                        WHEN v_is_on THEN '' ELSE 'off: every refresh computes everything again'
                    END,
                    ARRAY[]::text[];
        WHEN 'subscribers of others' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    broad.message,
                    ARRAY[
                        'CREATE PUBLICATION source_tables FOR TABLES IN SCHEMA '
                        || (
                            SELECT string_agg(quote_ident(source.source_schema), ', ')
                            FROM kpi_engine.sources() AS source
                        ) || ';',
                        '-- at each subscriber: ALTER SUBSCRIPTION … SET PUBLICATION source_tables;',
                        format('DROP PUBLICATION %I;', broad.publication),
                        format(
                            '-- or, if its readers need no tables: ALTER DATABASE %I SET '
                            'analytics.subscribers_ready = ''yes'';', current_database())
                    ]
                FROM kpi_engine.broad_publications() AS broad;
        WHEN 'ways around capture' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format('%s is UNLOGGED: a crash empties it, and no trigger fires', unlogged.name),
                    ARRAY[format(
                        'ALTER TABLE %s SET LOGGED;  -- as its owner; it is locked meanwhile',
                        unlogged.name
                    )]
                FROM (
                    SELECT tables.relation::regclass::text AS name
                    FROM kpi_engine.captured_tables() AS tables
                    INNER JOIN pg_class ON pg_class.oid = tables.relation
                    WHERE pg_class.relpersistence = 'u'
                ) AS unlogged
                ORDER BY unlogged.name;
            -- Roles and databases whose sessions fire no ordinary trigger, so no foreign key either,
            -- or may not keep the rows that a large statement has for a trigger.
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        CASE limited.setting
                            WHEN 'temp_file_limit' THEN
                                '%s has a temp_file_limit: PostgreSQL keeps the old and the new rows '
                                'of a statement for our triggers, so a large UPDATE may fail'
                            ELSE
                                '%s has session_replication_role = replica: our triggers fire all '
                                'the same, foreign keys don''t, so a deleted row leaves its children '
                                'behind'
                        END,
                        limited.name
                    ),
                    ARRAY[format(
                        'ALTER %s RESET %s;  -- as a superuser', limited.name, limited.setting
                    )]
                FROM (
                    SELECT
                        CASE
                            WHEN given.setrole = 0 THEN format('DATABASE %I', pg_database.datname)
                            WHEN given.setdatabase = 0
                                THEN format('ROLE %I', pg_get_userbyid(given.setrole))
                            ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(given.setrole),
                                pg_database.datname)
                        END AS name,
                        split_part(given_setting.text, '=', 1) AS setting
                    FROM pg_db_role_setting AS given
                    LEFT JOIN pg_database ON pg_database.oid = given.setdatabase
                    CROSS JOIN LATERAL unnest(given.setconfig) AS given_setting (text)
                    WHERE
                        given_setting.text ~ '^(session_replication_role=replica|temp_file_limit=\d.*)$'
                        AND (given.setdatabase = 0 OR pg_database.datname = current_database())
                    UNION ALL
                    SELECT 'SYSTEM', pg_settings.name
                    FROM pg_settings
                    WHERE
                        pg_settings.name = 'temp_file_limit'
                        AND pg_settings.setting <> '-1'
                        AND pg_settings.source IN ('configuration file', 'command line')
                ) AS limited
                ORDER BY limited.name, limited.setting;
        WHEN 'indexes' THEN
            RETURN QUERY
                WITH needed AS (
                    SELECT
                        format('%s (%s)', indexes.table_name, indexes.column_name) AS name,
                        indexes.is_present
                    FROM analytics.source_indexes() AS indexes
                )

                SELECT
                    'warning',
                    format(
                        '%s missing, refreshes are slower: %s', count(*),
                        string_agg(needed.name, ', ' ORDER BY needed.name)
                    ),
                    ARRAY[
                        '-- $ make indexes',
                        '-- Or in psql, as the owner of the tables: SELECT statement '
                        'FROM analytics.source_indexes() WHERE NOT is_present \gexec'
                    ]
                FROM needed
                WHERE NOT needed.is_present
                HAVING count(*) > 0
                UNION ALL
                SELECT 'ok', format('%s needed', count(*)), ARRAY[]::text[] FROM needed;
        WHEN 'requests without a month' THEN
            SELECT coalesce(sum((totals.month ->> 'requests')::bigint), 0) INTO v_requests
            FROM kpi_engine.rows_of_relation_now('kpi_engine.month_totals') AS totals (month)
            WHERE NOT isfinite((totals.month ->> 'mes')::date);
            IF v_requests = 0 THEN
                RETURN QUERY SELECT 'ok', 'none', ARRAY[]::text[];
                RETURN;
            END IF;
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        '%s request(s) belong to no month and are counted nowhere: %s dated before '
                        '2000 or after 2099, %s without a date',
                        v_requests, v_requests - count(*), count(*)
                    ),
                    ARRAY[
                        'SELECT id, created_at FROM kpi_engine.src_solicitudes WHERE NOT '
                        || 'coalesce(kpi_engine.local_date(created_at, '
                        || 'analytics.setting(''time_zone'')) '
                        || 'BETWEEN ''2000-01-01'' AND ''2099-12-31'', false);  -- lists them; as '
                        || 'analytics_owner',
                        '-- Have the source''s owner set their created_at right.'
                    ]
                FROM kpi_engine.src_solicitudes
                WHERE src_solicitudes.created_at IS NULL;
        WHEN 'values that can''t be counted' THEN
            RETURN QUERY
                SELECT
                    'warning',
                    format(
                        '%s row(s) of %s hold values that can''t be counted, or that are cut: %s; '
                        'id %s', count(*), uncountable.table_name,
                        string_agg(DISTINCT uncountable.column_names, ', '),
                        array_to_string(
                            (array_agg(uncountable.row_id ORDER BY uncountable.row_id))[1:3], ', '
                        )
                    ),
                    ARRAY[
                        'SELECT * FROM kpi_engine.uncountable_in_source(true);  -- lists them; as '
                        || 'analytics_owner',
                        '-- Have the source''s owner set them right: docs/source.md says what is '
                        || 'countable.'
                    ]
                FROM kpi_engine.uncountable_in_source(true) AS uncountable
                GROUP BY uncountable.table_name
                ORDER BY uncountable.table_name;
            IF NOT FOUND THEN
                RETURN QUERY SELECT 'ok', 'none', ARRAY[]::text[];
            END IF;
    END CASE;
END;
$doctor_source$;

COMMENT ON FUNCTION kpi_engine.doctor_source(text, boolean) IS
'Makes one check of group source of analytics.doctor(): status, message, fixes. The checks:
contract: the operational tables are the ones that were bound, with all columns and types
right to read: analytics_owner may read all rows and columns that it needs
code of others: no function of another role runs when a refresh reads the source
change capture: each operational table has its working triggers
ways around capture: nothing writes to the tables without firing the triggers
subscribers of others: no publication sends our tables to a subscriber that may not have them
indexes: the source has the indexes that a refresh needs
requests without a month: each request has a date from 2000 to 2099
values that can''t be counted: no row holds a value that is too large or too long
p_counts: false leaves out checks that count rows. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.doctor_source(text, boolean) FROM public;
