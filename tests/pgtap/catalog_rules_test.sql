-- Rules over the catalog: what is added later is covered the day it is added.

BEGIN;
SET LOCAL search_path = public, pg_temp;
SELECT plan(19);

SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[]) AND obj_description(oid, 'pg_proc') IS NULL$$,
    'every function has a comment'
);
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    WHERE relnamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[]) AND relkind IN ('r', 'p', 'v', 'm')
    AND obj_description(oid, 'pg_class') IS NULL$$,
    'every table and view has a comment'
);
SELECT is_empty(
    $$SELECT attrelid::regclass, attname FROM pg_attribute
    INNER JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[]) AND relkind IN ('r', 'p', 'm')
    AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL$$,
    'every column of a table or materialized view has a comment'
);
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[]) AND prosecdef
    AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'))$$,
    'every SECURITY DEFINER function pins its search_path'
);
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[])
    AND proconfig IS NULL AND prosqlbody IS NULL AND prokind <> 'a'
    AND proname NOT IN ('tick', 'work', 'rebuild', 'run_rebuild_steps', 'apply_change_capture')$$,
    'every other function pins it too, or is bound when created, or is a procedure that commits'
);
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    CROSS JOIN LATERAL aclexplode(coalesce(proacl, acldefault('f', proowner)))
    WHERE pronamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[]) AND grantee = 0$$,
    'no function is granted to PUBLIC'
);
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    CROSS JOIN LATERAL aclexplode(relacl)
    WHERE relnamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[]) AND grantee = 0
    UNION ALL
    SELECT NULL FROM pg_namespace
    CROSS JOIN LATERAL aclexplode(nspacl) WHERE nspname IN ('analytics', 'kpi_engine', 'api') AND grantee = 0$$,
    'no relation, nor a schema, is granted to PUBLIC'
);
SELECT is_empty(
    $$SELECT relname FROM pg_class
    WHERE relnamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[])
    AND relowner <> 'analytics_owner'::regrole
    UNION ALL
    SELECT proname FROM pg_proc
    WHERE pronamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[])
    AND proowner <> 'analytics_owner'::regrole$$,
    'analytics_owner owns every object'
);
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = 'api'::regnamespace
    AND substring(prosrc FROM '^(.*?)\mBEGIN\M')
    ~ '\mSELECT\M|(?:analytics|kpi_engine)\.(?!\w+_parameter\(|city_key\()'$$,
    'no function of the API has a query or a row of a table in DECLARE: its EXCEPTION clause does '
    'not reach what waits there'
);
SELECT is_empty(
    $$SELECT view_name FROM kpi_engine.materialized_views() WHERE NOT has_unique_index$$,
    'every materialized view can be refreshed CONCURRENTLY'
);
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    WHERE relnamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[]) AND relkind IN ('r', 'p')
    AND relreplident <> 'f'
    AND NOT EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = pg_class.oid AND indisvalid AND indimmediate
        AND CASE relreplident WHEN 'i' THEN indisreplident ELSE relreplident = 'd' AND indisprimary END
    )$$,
    'every table has a replica identity, so that a publication of all tables keeps nothing from it'
);

SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    WHERE relnamespace = 'analytics'::regnamespace AND relkind NOT IN ('v', 'm', 'i')$$,
    'schema analytics holds no table and no sequence, so that no DROP TABLE hits one of ours'
);
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    WHERE relnamespace = 'analytics'::regnamespace AND relkind IN ('v', 'm')
    AND NOT has_table_privilege('analytics_lector', oid, 'SELECT')
    AND NOT has_table_privilege('analytics_operador', oid, 'SELECT')$$,
    'what a BI tool lists in schema analytics can be read by readers or operators'
);
SELECT is_empty(
    $$SELECT source.relname, attname FROM pg_class AS source
    INNER JOIN pg_class AS shown
        ON shown.relname = source.relname AND shown.relnamespace = 'analytics'::regnamespace
    INNER JOIN pg_attribute AS attribute ON attrelid = source.oid
    WHERE source.relnamespace = 'kpi_engine'::regnamespace AND attnum > 0 AND NOT attisdropped
    AND NOT EXISTS (
        SELECT FROM pg_attribute AS shown_attribute
        WHERE shown_attribute.attrelid = shown.oid AND shown_attribute.attname = attribute.attname
        AND col_description(shown.oid, shown_attribute.attnum)
        = col_description(source.oid, attribute.attnum)
    )$$,
    'a view that shows a table of the engine has all its columns, with their comments'
);
SELECT results_eq(
    $$SELECT grantee::regrole::text COLLATE "C", nspname::text COLLATE "C", privilege_type
    FROM pg_namespace CROSS JOIN LATERAL aclexplode(nspacl)
    WHERE nspname IN ('analytics', 'kpi_engine', 'api')
    AND grantee <> 'analytics_owner'::regrole ORDER BY 1, 2$$,
    $$VALUES
    ('analytics_anon' COLLATE "C", 'analytics' COLLATE "C", 'USAGE'),
    ('analytics_anon', 'api', 'USAGE'),
    ('analytics_authenticator', 'api', 'USAGE'),
    ('analytics_hub', 'kpi_engine', 'USAGE'),
    ('analytics_lector', 'analytics', 'USAGE'),
    ('analytics_lector', 'api', 'USAGE'),
    ('analytics_operador', 'analytics', 'USAGE'),
    ('analytics_operador', 'api', 'USAGE'),
    ('analytics_operador', 'kpi_engine', 'USAGE'),
    ('analytics_scheduler', 'analytics', 'USAGE'),
    ('analytics_scheduler', 'kpi_engine', 'USAGE')$$,
    'who may use which schema'
);

-- What each role may do with each object is in docs/reference/rights.md, which a test compares.
SELECT results_eq(
    $$SELECT oid::regprocedure::text COLLATE "C" FROM pg_proc
    WHERE pronamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[])
    AND has_function_privilege('analytics_anon', oid, 'EXECUTE') ORDER BY 1$$,
    $$VALUES
    ('analytics.check_request()' COLLATE "C"), ('api.health()'), ('kpi_engine.answer_probe()'),
    ('kpi_engine.check_token(text,text)'), ('kpi_engine.mark_view(text)')$$,
    'what may be called without a token'
);
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    WHERE relnamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[])
    AND relkind IN ('r', 'p', 'v', 'm')
    AND has_any_column_privilege('analytics_anon', oid, 'SELECT')$$,
    'nothing can be read without a token but what a function shows'
);

-- They are copies but for the column. note_changed_id alone differs: an id is never NULL.
SELECT is_empty(
    $$SELECT copies.kind, array_agg(copies.proname) FROM (
        SELECT proname, substring(proname FROM '^note_(?:changed|row)_') AS kind,
            regexp_replace(prosrc, '\m' || substring(proname FROM '^note_(?:changed|row)_(.*)$') || '\M', 'key', 'g') AS body
        FROM pg_proc
        WHERE pronamespace = 'kpi_engine'::regnamespace
        AND proname ~ '^note_(changed|row)_' AND proname <> 'note_changed_id'
    ) AS copies
    GROUP BY copies.kind HAVING count(*) < 2 OR count(DISTINCT copies.body) > 1$$,
    'the trigger functions of change capture differ by their column alone'
);
SELECT results_eq(
    $$SELECT proname FROM pg_proc
    WHERE pronamespace = 'kpi_engine'::regnamespace AND proname ~ '^note_(changed|row)_|^note_truncate$' ORDER BY 1$$,
    $$SELECT name FROM unnest(kpi_engine.noting_functions()) AS name ORDER BY 1$$,
    'the list of the trigger functions of change capture has all of them'
);

SELECT * FROM finish(); -- noqa: AM04
ROLLBACK;
