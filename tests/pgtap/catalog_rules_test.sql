-- Rules over the catalog: what is added later is covered the day it is added.

BEGIN;
SET LOCAL search_path = public, pg_temp;
SELECT plan(13);

SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace IN ('analytics'::regnamespace, 'api'::regnamespace) AND obj_description(oid, 'pg_proc') IS NULL$$,
    'every function has a comment'
);
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    WHERE relnamespace IN ('analytics'::regnamespace, 'api'::regnamespace) AND relkind IN ('r', 'p', 'v', 'm')
    AND obj_description(oid, 'pg_class') IS NULL$$,
    'every table and view has a comment'
);
SELECT is_empty(
    $$SELECT attrelid::regclass, attname FROM pg_attribute
    INNER JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace IN ('analytics'::regnamespace, 'api'::regnamespace) AND relkind IN ('r', 'p', 'm')
    AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL$$,
    'every column of a table or materialized view has a comment'
);
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace IN ('analytics'::regnamespace, 'api'::regnamespace) AND prosecdef
    AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(proconfig, '{}'))$$,
    'every SECURITY DEFINER function pins its search_path'
);
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace IN ('analytics'::regnamespace, 'api'::regnamespace)
    AND proconfig IS NULL AND prosqlbody IS NULL
    AND proname NOT IN ('tick', 'work', 'rebuild', 'run_rebuild_steps', 'apply_change_capture')$$,
    'every other function pins it too, or is bound when created, or is a procedure that commits'
);
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    CROSS JOIN LATERAL aclexplode(coalesce(proacl, acldefault('f', proowner)))
    WHERE pronamespace IN ('analytics'::regnamespace, 'api'::regnamespace) AND grantee = 0$$,
    'no function is granted to PUBLIC'
);
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    CROSS JOIN LATERAL aclexplode(relacl)
    WHERE relnamespace IN ('analytics'::regnamespace, 'api'::regnamespace) AND grantee = 0
    UNION ALL
    SELECT NULL FROM pg_namespace
    CROSS JOIN LATERAL aclexplode(nspacl) WHERE nspname IN ('analytics', 'api') AND grantee = 0$$,
    'no relation, nor a schema, is granted to PUBLIC'
);
SELECT is_empty(
    $$SELECT relname FROM pg_class
    WHERE relnamespace IN ('analytics'::regnamespace, 'api'::regnamespace)
    AND relowner <> 'analytics_owner'::regrole
    UNION ALL
    SELECT proname FROM pg_proc
    WHERE pronamespace IN ('analytics'::regnamespace, 'api'::regnamespace)
    AND proowner <> 'analytics_owner'::regrole$$,
    'analytics_owner owns every object'
);
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = 'api'::regnamespace
    AND substring(prosrc FROM '^(.*?)\mBEGIN\M')
    ~ '\mSELECT\M|analytics\.(?!\w+_parameter\(|city_key\()'$$,
    'no function of the API has a query or a row of a table in DECLARE: its EXCEPTION clause does '
    'not reach what waits there'
);
SELECT is_empty(
    $$SELECT view_name FROM analytics.materialized_views() WHERE NOT has_unique_index$$,
    'every materialized view can be refreshed CONCURRENTLY'
);
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
    WHERE relnamespace IN ('analytics'::regnamespace, 'api'::regnamespace) AND relkind IN ('r', 'p')
    AND relreplident <> 'f'
    AND NOT EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = pg_class.oid AND indisvalid AND indimmediate
        AND CASE relreplident WHEN 'i' THEN indisreplident ELSE relreplident = 'd' AND indisprimary END
    )$$,
    'every table has a replica identity, so that a publication of all tables keeps nothing from it'
);

-- The whole surface, role by role: a grant that is not listed here is a fault.
SELECT results_eq(
    $$SELECT grantee::regrole::text, oid::regprocedure::text COLLATE "C" FROM pg_proc
    CROSS JOIN LATERAL aclexplode(proacl)
    WHERE pronamespace IN ('analytics'::regnamespace, 'api'::regnamespace)
    AND grantee <> 'analytics_owner'::regrole ORDER BY 1, 2$$,
    $$VALUES
    ('analytics_anon', 'analytics.answer_probe()' COLLATE "C"),
    ('analytics_anon', 'analytics.check_request()'),
    ('analytics_anon', 'analytics.check_token(text,text)'),
    ('analytics_anon', 'api.health()'),
    ('analytics_lector', 'analytics.answer_probe()'),
    ('analytics_lector', 'analytics.check_request()'),
    ('analytics_lector', 'analytics.check_token(text,text)'),
    ('analytics_lector', 'analytics.city_key(text)'),
    ('analytics_lector', 'analytics.csv_is_wanted()'),
    ('analytics_lector', 'analytics.csv_text(text)'),
    ('analytics_lector', 'analytics.default_search_path()'),
    ('analytics_lector', 'analytics.doctor(text,boolean,boolean,integer,text)'),
    ('analytics_lector', 'analytics.doctor_causes(jsonb)'),
    ('analytics_lector', 'analytics.doctor_check(text,boolean,boolean,integer,text)'),
    ('analytics_lector', 'analytics.doctor_checks()'),
    ('analytics_lector', 'analytics.doctor_error(text,text,text,boolean,numeric)'),
    ('analytics_lector', 'analytics.doctor_installation(text,text)'),
    ('analytics_lector', 'analytics.doctor_refresh(text,boolean)'),
    ('analytics_lector', 'analytics.doctor_roles(text)'),
    ('analytics_lector', 'analytics.doctor_server(text,integer)'),
    ('analytics_lector', 'analytics.doctor_settings(text,boolean)'),
    ('analytics_lector', 'analytics.doctor_storage(text)'),
    ('analytics_lector', 'analytics.explain_refresh()'),
    ('analytics_lector', 'analytics.get_mv_stats()'),
    ('analytics_lector', 'analytics.kpis_en_vivo()'),
    ('analytics_lector', 'analytics.month_totals_now()'),
    ('analytics_lector', 'analytics.monthly_metrics(date,analytics.month_totals)'),
    ('analytics_lector', 'analytics.next_scheduled_refresh()'),
    ('analytics_lector', 'analytics.now()'),
    ('analytics_lector', 'analytics.package_bytes()'),
    ('analytics_lector', 'analytics.package_schemas()'),
    ('analytics_lector', 'analytics.percentage(numeric,numeric)'),
    ('analytics_lector', 'analytics.pinned_now()'),
    ('analytics_lector', 'analytics.raise_incomplete_restore()'),
    ('analytics_lector', 'analytics.rounded_quotient(numeric,numeric)'),
    ('analytics_lector', 'analytics.setting(text)'),
    ('analytics_lector', 'analytics.today()'),
    ('analytics_lector', 'analytics.trim_white_space(text)'),
    ('analytics_lector', 'api.advisor_rankings(text,text)'),
    ('analytics_lector', 'api.city_summary()'),
    ('analytics_lector', 'api.health()'),
    ('analytics_lector', 'api.metrics()'),
    ('analytics_lector', 'api.monthly_metrics(text,text,text)'),
    ('analytics_lector', 'api.scheduler_status()'),
    ('analytics_lector', 'api.status()'),
    ('analytics_lector', 'api.top_advisors(text,text,text)'),
    ('analytics_operador', 'analytics.answer_probe()'),
    ('analytics_operador', 'analytics.audit(integer,integer)'),
    ('analytics_operador', 'analytics.begin_rebuild(boolean)'),
    ('analytics_operador', 'analytics.check_request()'),
    ('analytics_operador', 'analytics.check_token(text,text)'),
    ('analytics_operador', 'analytics.city_key(text)'),
    ('analytics_operador', 'analytics.continue_rebuild(integer)'),
    ('analytics_operador', 'analytics.csv_is_wanted()'),
    ('analytics_operador', 'analytics.csv_text(text)'),
    ('analytics_operador', 'analytics.default_search_path()'),
    ('analytics_operador', 'analytics.doctor(text,boolean,boolean,integer,text)'),
    ('analytics_operador', 'analytics.doctor_causes(jsonb)'),
    ('analytics_operador', 'analytics.doctor_check(text,boolean,boolean,integer,text)'),
    ('analytics_operador', 'analytics.doctor_checks()'),
    ('analytics_operador', 'analytics.doctor_error(text,text,text,boolean,numeric)'),
    ('analytics_operador', 'analytics.doctor_installation(text,text)'),
    ('analytics_operador', 'analytics.doctor_refresh(text,boolean)'),
    ('analytics_operador', 'analytics.doctor_roles(text)'),
    ('analytics_operador', 'analytics.doctor_server(text,integer)'),
    ('analytics_operador', 'analytics.doctor_settings(text,boolean)'),
    ('analytics_operador', 'analytics.doctor_storage(text)'),
    ('analytics_operador', 'analytics.explain_refresh()'),
    ('analytics_operador', 'analytics.force_requests(date,date)'),
    ('analytics_operador', 'analytics.get_mv_stats()'),
    ('analytics_operador', 'analytics.kpis_en_vivo()'),
    ('analytics_operador', 'analytics.month_totals_now()'),
    ('analytics_operador', 'analytics.monthly_metrics(date,analytics.month_totals)'),
    ('analytics_operador', 'analytics.next_scheduled_refresh()'),
    ('analytics_operador', 'analytics.now()'),
    ('analytics_operador', 'analytics.package_bytes()'),
    ('analytics_operador', 'analytics.package_schemas()'),
    ('analytics_operador', 'analytics.percentage(numeric,numeric)'),
    ('analytics_operador', 'analytics.pin_settings()'),
    ('analytics_operador', 'analytics.pinned_now()'),
    ('analytics_operador', 'analytics.raise_incomplete_restore()'),
    ('analytics_operador', 'analytics.raise_refresh_running(boolean)'),
    ('analytics_operador', 'analytics.rebuild(boolean)'),
    ('analytics_operador', 'analytics.refresh_all_mv(boolean)'),
    ('analytics_operador', 'analytics.refresh_lock_key()'),
    ('analytics_operador', 'analytics.refresh_start_lock_class()'),
    ('analytics_operador', 'analytics.rounded_quotient(numeric,numeric)'),
    ('analytics_operador', 'analytics.run_rebuild_steps(boolean,text,text)'),
    ('analytics_operador', 'analytics.set_schedule(text,text)'),
    ('analytics_operador', 'analytics.setting(text)'),
    ('analytics_operador', 'analytics.show_refresh_start(boolean)'),
    ('analytics_operador', 'analytics.source_indexes()'),
    ('analytics_operador', 'analytics.today()'),
    ('analytics_operador', 'analytics.trim_white_space(text)'),
    ('analytics_operador', 'analytics.usage_advice()'),
    ('analytics_operador', 'api.advisor_rankings(text,text)'),
    ('analytics_operador', 'api.city_summary()'),
    ('analytics_operador', 'api.health()'),
    ('analytics_operador', 'api.metrics()'),
    ('analytics_operador', 'api.monthly_metrics(text,text,text)'),
    ('analytics_operador', 'api.refresh(text)'),
    ('analytics_operador', 'api.scheduler_reschedule(text,text)'),
    ('analytics_operador', 'api.scheduler_status()'),
    ('analytics_operador', 'api.scheduler_trigger_refresh()'),
    ('analytics_operador', 'api.status()'),
    ('analytics_operador', 'api.top_advisors(text,text,text)'),
    ('analytics_scheduler', 'analytics.begin_rebuild(boolean)'),
    ('analytics_scheduler', 'analytics.continue_rebuild(integer)'),
    ('analytics_scheduler', 'analytics.cron_jobs(text)'),
    ('analytics_scheduler', 'analytics.cron_problems(text,text,boolean)'),
    ('analytics_scheduler', 'analytics.package_roles()'),
    ('analytics_scheduler', 'analytics.pin_settings()'),
    ('analytics_scheduler', 'analytics.refresh_lock_key()'),
    ('analytics_scheduler', 'analytics.report_notice(bigint,text[],text)'),
    ('analytics_scheduler', 'analytics.run_rebuild_steps(boolean,text,text)'),
    ('analytics_scheduler', 'analytics.scheduler_down_reason()'),
    ('analytics_scheduler', 'analytics.take_notice()'),
    ('analytics_scheduler', 'analytics.tick()'),
    ('analytics_scheduler', 'analytics.tick_step(text)'),
    ('analytics_scheduler', 'analytics.trim_cron_history(integer)'),
    ('analytics_scheduler', 'analytics.update_alerts()'),
    ('analytics_scheduler', 'analytics.work()'),
    ('analytics_scheduler', 'analytics.work_step(text,bigint,boolean,text,text)')$$,
    'who may call what'
);
SELECT results_eq(
    $$SELECT grantee::regrole::text, oid::regclass::text COLLATE "C", privilege_type FROM pg_class
    CROSS JOIN LATERAL aclexplode(relacl)
    WHERE relnamespace IN ('analytics'::regnamespace, 'api'::regnamespace)
    AND grantee <> 'analytics_owner'::regrole ORDER BY 1, 2, 3$$,
    $$VALUES
    ('analytics_lector', 'analytics.alerts' COLLATE "C", 'SELECT'),
    ('analytics_lector', 'analytics.audit_log', 'SELECT'),
    ('analytics_lector', 'analytics.mv_metricas_mensuales', 'SELECT'),
    ('analytics_lector', 'analytics.mv_ranking_asesores', 'SELECT'),
    ('analytics_lector', 'analytics.rebuild_progress', 'SELECT'),
    ('analytics_lector', 'analytics.refresh_jobs', 'SELECT'),
    ('analytics_lector', 'analytics.refresh_log', 'SELECT'),
    ('analytics_lector', 'analytics.scheduler_state', 'SELECT'),
    ('analytics_lector', 'analytics.settings', 'SELECT'),
    ('analytics_lector', 'analytics.v_kpis_en_vivo', 'SELECT'),
    ('analytics_lector', 'analytics.v_metricas_mensuales_tiempo_real', 'SELECT'),
    ('analytics_lector', 'api.mv_metricas_mensuales', 'SELECT'),
    ('analytics_lector', 'api.mv_ranking_asesores', 'SELECT'),
    ('analytics_operador', 'analytics.alert_outbox', 'SELECT'),
    ('analytics_operador', 'analytics.alerts', 'SELECT'),
    ('analytics_operador', 'analytics.audit_log', 'SELECT'),
    ('analytics_operador', 'analytics.mv_metricas_mensuales', 'SELECT'),
    ('analytics_operador', 'analytics.mv_ranking_asesores', 'SELECT'),
    ('analytics_operador', 'analytics.rebuild_progress', 'SELECT'),
    ('analytics_operador', 'analytics.refresh_jobs', 'SELECT'),
    ('analytics_operador', 'analytics.refresh_log', 'SELECT'),
    ('analytics_operador', 'analytics.scheduler_state', 'SELECT'),
    ('analytics_operador', 'analytics.settings', 'SELECT'),
    ('analytics_operador', 'analytics.uncountable_rows', 'SELECT'),
    ('analytics_operador', 'analytics.usage_by_hour', 'SELECT'),
    ('analytics_operador', 'analytics.v_kpis_en_vivo', 'SELECT'),
    ('analytics_operador', 'analytics.v_metricas_mensuales_tiempo_real', 'SELECT'),
    ('analytics_operador', 'api.mv_metricas_mensuales', 'SELECT'),
    ('analytics_operador', 'api.mv_ranking_asesores', 'SELECT')$$,
    'who may read what; nobody but the owner reads a source table through this package'
);

SELECT * FROM finish(); -- noqa: AM04
ROLLBACK;
