-- Declares a table of another service that a KPI view reads, and how its changes are noticed.
--
-- Invariant: the file of the view ends with this call. It refuses what could not be watched, and
-- notes the table by its name, its columns and its server. A view that is built anew has only the
-- declarations of its file. The values of a version never come twice: else a row in the place of
-- another one is not noticed.
-- p_view and p_source are names as the file sees them: make migrate builds the view aside.

CREATE OR REPLACE FUNCTION kpi_engine.declare_outside_source(
    p_view regclass,
    p_source regclass,
    p_watch text,
    p_version text DEFAULT NULL,
    p_as_of text DEFAULT NULL,
    p_max_age interval DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $declare_outside_source$
DECLARE
    v_view record;
    v_source record;
    v_types jsonb;
    v_is_time boolean;
    v_binding constant jsonb := kpi_engine.outside_binding(p_view, p_source);
    v_problem text;
    v_remedy text;
BEGIN
    SELECT pg_class.relname, pg_class.relkind INTO STRICT v_view
    FROM pg_class
    WHERE pg_class.oid = p_view;
    SELECT
        pg_class.relkind,
        pg_class.relnamespace::regnamespace::text AS schema_name,
        format('%I.%I', pg_namespace.nspname, pg_class.relname) AS name,
        EXISTS (
            SELECT FROM pg_inherits
            WHERE pg_inherits.inhrelid = p_source OR pg_inherits.inhparent = p_source
        ) AS inherits
    INTO STRICT v_source
    FROM pg_class
    INNER JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
    WHERE pg_class.oid = p_source;
    SELECT jsonb_object_agg(pg_attribute.attname, pg_attribute.atttypid::regtype) INTO v_types
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = p_source
        AND pg_attribute.attnum > 0
        AND NOT pg_attribute.attisdropped;
    v_is_time := v_types ->> p_version ~ 'time|date';
    v_problem := CASE
        WHEN v_view.relkind <> 'm'
            THEN 'p_view must be a materialized view'
        WHEN v_source.relkind NOT IN ('r', 'p', 'f')
            THEN 'p_source must be a table or a foreign table'
        WHEN v_source.schema_name IN ('analytics', 'kpi_engine', 'api')
            THEN 'p_source must be a table of another service'
        WHEN v_binding IS NULL
            THEN 'the view does not read it'
        WHEN p_watch IS NULL OR p_watch NOT IN ('triggers', 'version', 'reread')
            THEN format('p_watch must be triggers, version or reread, not %s', coalesce(p_watch, 'NULL'))
        WHEN p_watch = 'triggers' AND (v_source.relkind <> 'r' OR v_source.inherits)
            THEN 'triggers need a table that is here and neither a partition nor a parent: take '
                'version or reread'
        WHEN (p_watch = 'version') <> (p_version IS NOT NULL)
            THEN 'p_version goes with p_watch => ''version'', and only with it'
        WHEN
            p_version IS NOT NULL
            AND p_version !~* '^\s*SELECT\s'
            AND (v_types ->> p_version IN (
                'timestamp with time zone', 'timestamp without time zone', 'date', 'smallint',
                'integer', 'bigint', 'numeric'
            )) IS NOT TRUE
            THEN format('p_version (%s) must be a column with an instant, a date or a number, or a '
                'query that begins with SELECT', p_version)
        WHEN
            v_types ->> p_version IN ('date', 'smallint', 'integer', 'bigint', 'numeric')
            AND NOT EXISTS (
                SELECT FROM pg_index
                INNER JOIN pg_attribute
                    ON pg_attribute.attrelid = pg_index.indrelid
                    AND pg_attribute.attnum = pg_index.indkey[0]
                WHERE
                    pg_index.indrelid = p_source
                    AND pg_index.indisunique
                    AND pg_index.indisvalid
                    AND pg_index.indpred IS NULL
                    AND pg_index.indnkeyatts = 1
                    AND pg_attribute.attname = p_version
            )
            THEN format('p_version (%s) is no instant and has no unique index here: a new row may get '
                'the value of a deleted one, and nothing would tell. Take a column with the instant '
                'of the change, reread, or a query (SELECT …) that changes with each change', p_version)
        WHEN
            p_as_of IS NOT NULL
            AND p_as_of !~* '^\s*SELECT\s'
            AND v_types ->> p_as_of IS DISTINCT FROM 'timestamp with time zone'
            THEN format('p_as_of (%s) must be a column of type timestamptz, or a query that begins '
                'with SELECT', p_as_of)
        WHEN p_max_age IS NOT NULL AND p_as_of IS NULL
            THEN 'p_max_age needs p_as_of'
        WHEN p_max_age NOT BETWEEN '1 second' AND '100 years'
            THEN format('p_max_age must be between a second and 100 years, not %s', p_max_age)
    END;
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION 'outside table % of view %: %', v_source.name, v_view.relname, v_problem
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Mend the call at the end of %s.sql.', v_view.relname);
    END IF;

    DELETE FROM kpi_engine.outside_sources AS earlier
    WHERE earlier.view_name = v_view.relname AND earlier.view_relation <> p_view;
    INSERT INTO kpi_engine.outside_sources AS known (
        view_name, source_name, watch, version_query, as_of_query, max_age, view_relation,
        source_relation, binding, database_identity
    )
    VALUES (
        v_view.relname,
        v_source.name,
        p_watch,
        CASE
            WHEN p_version ~* '^\s*SELECT\s' THEN rtrim(p_version, E'; \n')
            -- The sum changes when a row changes that is not the newest, and when a transaction
            -- commits late. An infinite value, or one that is no number, would hide the others.
            WHEN p_version IS NOT NULL THEN format(
                'SELECT count(*) AS "rows", count(%1$I) AS known, '
                'count(*) FILTER (WHERE %2$s) AS finite, '
                'count(*) FILTER (WHERE %3$s = ''Infinity'') AS infinite, '
                'count(*) FILTER (WHERE %3$s = ''-Infinity'') AS negative, '
                'max(%1$I) FILTER (WHERE %2$s) AS newest, '
                'sum(%4$s) FILTER (WHERE %2$s) AS total FROM %5$s',
                p_version,
                format(
                    CASE WHEN v_is_time
                        THEN 'isfinite(%I)'
                        ELSE '%I::float8 NOT IN (''Infinity'', ''-Infinity'', ''NaN'')'
                    END, p_version
                ),
                format(CASE WHEN v_is_time THEN '%I' ELSE '%I::float8' END, p_version),
                format(
                    CASE WHEN v_is_time THEN 'extract(EPOCH FROM %I)' ELSE '%I::numeric' END, p_version
                ),
                v_source.name
            )
        END,
        CASE
            WHEN p_as_of ~* '^\s*SELECT\s' THEN rtrim(p_as_of, E'; \n')
            WHEN p_as_of IS NOT NULL THEN format('SELECT max(%I) FROM %s', p_as_of, v_source.name)
        END,
        p_max_age,
        p_view,
        p_source,
        v_binding,
        kpi_engine.database_identity()
    )
    ON CONFLICT (view_name, source_name) DO UPDATE SET
        watch = excluded.watch,
        version_query = excluded.version_query,
        as_of_query = excluded.as_of_query,
        max_age = excluded.max_age,
        view_relation = excluded.view_relation,
        source_relation = excluded.source_relation,
        binding = excluded.binding,
        database_identity = excluded.database_identity,
        is_changed = true,
        trigger_signature = NULL,
        version = NULL;

    SELECT problems.message, problems.remedy INTO v_problem, v_remedy
    FROM kpi_engine.outside_problems(v_view.relname) AS problems
    WHERE problems.is_fatal AND problems.source_name = v_source.name
    LIMIT 1;
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION '%', v_problem
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = v_remedy;
    END IF;
END;
$declare_outside_source$;

COMMENT ON FUNCTION kpi_engine.declare_outside_source(
    regclass, regclass, text, text, text, interval
) IS
'Declares that KPI view p_view reads table p_source of another service. p_watch is triggers (a '
'table that is here), version (p_version, a column that changes with each change of a row, or a '
'query of one row, is compared) or reread (the rows are read at each refresh). p_as_of: until when '
'the table is complete, a column (its maximum counts) or a query; p_max_age: a health problem '
'begins when that is longer ago. Errors: 22023 says what is wrong, 55000 what is missing.';

REVOKE ALL ON FUNCTION kpi_engine.declare_outside_source(
    regclass, regclass, text, text, text, interval
) FROM public;
