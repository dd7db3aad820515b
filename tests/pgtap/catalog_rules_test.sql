-- Rules over the catalog: what is added later is covered the day it is added.

BEGIN;
SET LOCAL search_path = public, pg_temp;
SELECT plan(17);

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

-- The whole surface, role by role: a grant that is not listed here is a fault.
SELECT results_eq(
    $$SELECT grantee::regrole::text, oid::regprocedure::text COLLATE "C" FROM pg_proc
    CROSS JOIN LATERAL aclexplode(proacl)
    WHERE pronamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[])
    AND grantee <> 'analytics_owner'::regrole ORDER BY 1, 2$$,
    $$VALUES
    ('analytics_anon', 'analytics.check_request()' COLLATE "C"),
    ('analytics_anon', 'api.health()'),
    ('analytics_anon', 'kpi_engine.answer_probe()'),
    ('analytics_anon', 'kpi_engine.check_token(text,text)'),
    ('analytics_hub', 'kpi_engine.facts_checksums(text)'),
    ('analytics_hub', 'kpi_engine.hub_keys(text,bigint)'),
    ('analytics_hub', 'kpi_engine.hub_offer(bigint,uuid)'),
    ('analytics_lector', 'analytics.as_reported(text,text)'),
    ('analytics_lector', 'analytics.check_request()'),
    ('analytics_lector', 'analytics.city_key(text)'),
    ('analytics_lector', 'analytics.explain_refresh()'),
    ('analytics_lector', 'analytics.get_mv_stats()'),
    ('analytics_lector', 'analytics.next_scheduled_refresh()'),
    ('analytics_lector', 'analytics.now()'),
    ('analytics_lector', 'analytics.replication()'),
    ('analytics_lector', 'analytics.rows_now(text)'),
    ('analytics_lector', 'analytics.setting(text)'),
    ('analytics_lector', 'analytics.today()'),
    ('analytics_lector', 'api.advisor_rankings(text,text)'),
    ('analytics_lector', 'api.city_summary()'),
    ('analytics_lector', 'api.csv(anyelement)'),
    ('analytics_lector', 'api.health()'),
    ('analytics_lector', 'api.kpi(text,text[])'),
    ('analytics_lector', 'api.kpis()'),
    ('analytics_lector', 'api.live(text)'),
    ('analytics_lector', 'api.metrics()'),
    ('analytics_lector', 'api.monthly_metrics(text,text,text)'),
    ('analytics_lector', 'api.notes(text,text,text,text)'),
    ('analytics_lector', 'api.restatements(text,text,text)'),
    ('analytics_lector', 'api.scheduler_status()'),
    ('analytics_lector', 'api.status()'),
    ('analytics_lector', 'api.targets(text,text)'),
    ('analytics_lector', 'api.top_advisors(text,text,text)'),
    ('analytics_lector', 'kpi_engine.answer_probe()'),
    ('analytics_lector', 'kpi_engine.check_token(text,text)'),
    ('analytics_lector', 'kpi_engine.csv_is_wanted()'),
    ('analytics_lector', 'kpi_engine.csv_text(text)'),
    ('analytics_lector', 'kpi_engine.kpis_en_vivo()'),
    ('analytics_lector', 'kpi_engine.percentage(numeric,numeric)'),
    ('analytics_lector', 'kpi_engine.pinned_now()'),
    ('analytics_lector', 'kpi_engine.rounded_quotient(numeric,numeric)'),
    ('analytics_lector', 'kpi_engine.token_cities()'),
    ('analytics_lector', 'kpi_engine.trim_white_space(text)'),
    ('analytics_operador', 'analytics.accept_gate(text,text,text)'),
    ('analytics_operador', 'analytics.add_note(date,text,text)'),
    ('analytics_operador', 'analytics.as_reported(text,text)'),
    ('analytics_operador', 'analytics.audit(integer,integer)'),
    ('analytics_operador', 'analytics.check_request()'),
    ('analytics_operador', 'analytics.city_key(text)'),
    ('analytics_operador', 'analytics.doctor(text,boolean,boolean,integer,text)'),
    ('analytics_operador', 'analytics.explain_refresh()'),
    ('analytics_operador', 'analytics.force_requests(date,date)'),
    ('analytics_operador', 'analytics.get_mv_stats()'),
    ('analytics_operador', 'analytics.next_scheduled_refresh()'),
    ('analytics_operador', 'analytics.now()'),
    ('analytics_operador', 'analytics.rebuild(boolean)'),
    ('analytics_operador', 'analytics.refresh_all_mv(boolean)'),
    ('analytics_operador', 'analytics.remove_note(bigint)'),
    ('analytics_operador', 'analytics.remove_target(text,text,date)'),
    ('analytics_operador', 'analytics.replication()'),
    ('analytics_operador', 'analytics.rows_now(text)'),
    ('analytics_operador', 'analytics.set_schedule(text,text)'),
    ('analytics_operador', 'analytics.set_target(text,text,date,numeric,text)'),
    ('analytics_operador', 'analytics.setting(text)'),
    ('analytics_operador', 'analytics.source_indexes()'),
    ('analytics_operador', 'analytics.subscribe_digest(text,text,text,text[])'),
    ('analytics_operador', 'analytics.today()'),
    ('analytics_operador', 'analytics.unsubscribe_digest(text,text)'),
    ('analytics_operador', 'analytics.usage_advice()'),
    ('analytics_operador', 'api.add_note(text,text,text)'),
    ('analytics_operador', 'api.advisor_rankings(text,text)'),
    ('analytics_operador', 'api.city_summary()'),
    ('analytics_operador', 'api.csv(anyelement)'),
    ('analytics_operador', 'api.gate(text,text,text)'),
    ('analytics_operador', 'api.health()'),
    ('analytics_operador', 'api.kpi(text,text[])'),
    ('analytics_operador', 'api.kpis()'),
    ('analytics_operador', 'api.live(text)'),
    ('analytics_operador', 'api.metrics()'),
    ('analytics_operador', 'api.monthly_metrics(text,text,text)'),
    ('analytics_operador', 'api.notes(text,text,text,text)'),
    ('analytics_operador', 'api.refresh(text)'),
    ('analytics_operador', 'api.remove_note(text)'),
    ('analytics_operador', 'api.remove_target(text,text,text)'),
    ('analytics_operador', 'api.restatements(text,text,text)'),
    ('analytics_operador', 'api.scheduler_reschedule(text,text)'),
    ('analytics_operador', 'api.scheduler_status()'),
    ('analytics_operador', 'api.scheduler_trigger_refresh()'),
    ('analytics_operador', 'api.set_target(text,text,text,text,text)'),
    ('analytics_operador', 'api.status()'),
    ('analytics_operador', 'api.targets(text,text)'),
    ('analytics_operador', 'api.top_advisors(text,text,text)'),
    ('analytics_operador', 'kpi_engine.answer_probe()'),
    ('analytics_operador', 'kpi_engine.begin_rebuild(boolean)'),
    ('analytics_operador', 'kpi_engine.check_token(text,text)'),
    ('analytics_operador', 'kpi_engine.continue_rebuild(integer)'),
    ('analytics_operador', 'kpi_engine.csv_is_wanted()'),
    ('analytics_operador', 'kpi_engine.csv_text(text)'),
    ('analytics_operador', 'kpi_engine.default_search_path()'),
    ('analytics_operador', 'kpi_engine.digest_contents(text,text[],date)'),
    ('analytics_operador', 'kpi_engine.doctor_causes(jsonb)'),
    ('analytics_operador', 'kpi_engine.doctor_check(text,boolean,boolean,integer,text)'),
    ('analytics_operador', 'kpi_engine.doctor_checks()'),
    ('analytics_operador', 'kpi_engine.doctor_error(text,text,text,boolean,numeric)'),
    ('analytics_operador', 'kpi_engine.doctor_installation(text,text)'),
    ('analytics_operador', 'kpi_engine.doctor_refresh(text,boolean)'),
    ('analytics_operador', 'kpi_engine.doctor_roles(text)'),
    ('analytics_operador', 'kpi_engine.doctor_server(text,integer)'),
    ('analytics_operador', 'kpi_engine.doctor_settings(text,boolean)'),
    ('analytics_operador', 'kpi_engine.doctor_storage(text)'),
    ('analytics_operador', 'kpi_engine.kpis_en_vivo()'),
    ('analytics_operador', 'kpi_engine.package_bytes()'),
    ('analytics_operador', 'kpi_engine.package_schemas()'),
    ('analytics_operador', 'kpi_engine.percentage(numeric,numeric)'),
    ('analytics_operador', 'kpi_engine.pin_settings()'),
    ('analytics_operador', 'kpi_engine.pinned_now()'),
    ('analytics_operador', 'kpi_engine.raise_refresh_running(boolean)'),
    ('analytics_operador', 'kpi_engine.refresh_lock_key()'),
    ('analytics_operador', 'kpi_engine.refresh_start_lock_class()'),
    ('analytics_operador', 'kpi_engine.rounded_quotient(numeric,numeric)'),
    ('analytics_operador', 'kpi_engine.run_rebuild_steps(boolean,text,text)'),
    ('analytics_operador', 'kpi_engine.show_refresh_start(boolean)'),
    ('analytics_operador', 'kpi_engine.token_cities()'),
    ('analytics_operador', 'kpi_engine.trim_white_space(text)'),
    ('analytics_scheduler', 'analytics.scheduler_down_reason()'),
    ('analytics_scheduler', 'analytics.tick()'),
    ('analytics_scheduler', 'analytics.trim_cron_history(integer)'),
    ('analytics_scheduler', 'analytics.work()'),
    ('analytics_scheduler', 'kpi_engine.begin_rebuild(boolean)'),
    ('analytics_scheduler', 'kpi_engine.continue_rebuild(integer)'),
    ('analytics_scheduler', 'kpi_engine.cron_jobs(text)'),
    ('analytics_scheduler', 'kpi_engine.cron_problems(text,text,boolean)'),
    ('analytics_scheduler', 'kpi_engine.digest_contents(text,text[],date)'),
    ('analytics_scheduler', 'kpi_engine.package_roles()'),
    ('analytics_scheduler', 'kpi_engine.pin_settings()'),
    ('analytics_scheduler', 'kpi_engine.refresh_lock_key()'),
    ('analytics_scheduler', 'kpi_engine.report_digest(bigint,text)'),
    ('analytics_scheduler', 'kpi_engine.report_notice(bigint,text[],text)'),
    ('analytics_scheduler', 'kpi_engine.run_rebuild_steps(boolean,text,text)'),
    ('analytics_scheduler', 'kpi_engine.take_digest()'),
    ('analytics_scheduler', 'kpi_engine.take_notice()'),
    ('analytics_scheduler', 'kpi_engine.tick_step(text)'),
    ('analytics_scheduler', 'kpi_engine.update_alerts()'),
    ('analytics_scheduler', 'kpi_engine.work_step(text,bigint,boolean,text,text)')$$,
    'who may call what'
);
SELECT results_eq(
    $$SELECT grantee::regrole::text, oid::regclass::text COLLATE "C", privilege_type FROM pg_class
    CROSS JOIN LATERAL aclexplode(relacl)
    WHERE relnamespace = ANY ('{analytics, kpi_engine, api}'::regnamespace[])
    AND grantee <> 'analytics_owner'::regrole ORDER BY 1, 2, 3$$,
    $$VALUES
    ('analytics_hub', 'kpi_engine.asesor_facts' COLLATE "C", 'SELECT'),
    ('analytics_hub', 'kpi_engine.auditoria_facts', 'SELECT'),
    ('analytics_hub', 'kpi_engine.historica_facts', 'SELECT'),
    ('analytics_hub', 'kpi_engine.notificacion_facts', 'SELECT'),
    ('analytics_hub', 'kpi_engine.solicitud_facts', 'SELECT'),
    ('analytics_lector', 'analytics.alerts', 'SELECT'),
    ('analytics_lector', 'analytics.audit_log', 'SELECT'),
    ('analytics_lector', 'analytics.gate_acceptances', 'SELECT'),
    ('analytics_lector', 'analytics.gate_holds', 'SELECT'),
    ('analytics_lector', 'analytics.hub_sites', 'SELECT'),
    ('analytics_lector', 'analytics.mv_demanda_ciudades', 'SELECT'),
    ('analytics_lector', 'analytics.mv_embudo_niveles', 'SELECT'),
    ('analytics_lector', 'analytics.mv_embudo_operativo', 'SELECT'),
    ('analytics_lector', 'analytics.mv_finanzas_mensuales', 'SELECT'),
    ('analytics_lector', 'analytics.mv_metricas_mensuales', 'SELECT'),
    ('analytics_lector', 'analytics.mv_ranking_asesores', 'SELECT'),
    ('analytics_lector', 'analytics.mv_retencion_asesores', 'SELECT'),
    ('analytics_lector', 'analytics.mv_salud_marketplace', 'SELECT'),
    ('analytics_lector', 'analytics.mv_segmentos_asesores', 'SELECT'),
    ('analytics_lector', 'analytics.notes', 'SELECT'),
    ('analytics_lector', 'analytics.publications', 'SELECT'),
    ('analytics_lector', 'analytics.rebuild_progress', 'SELECT'),
    ('analytics_lector', 'analytics.refresh_jobs', 'SELECT'),
    ('analytics_lector', 'analytics.refresh_log', 'SELECT'),
    ('analytics_lector', 'analytics.restatements', 'SELECT'),
    ('analytics_lector', 'analytics.scheduler_state', 'SELECT'),
    ('analytics_lector', 'analytics.settings', 'SELECT'),
    ('analytics_lector', 'analytics.target_results', 'SELECT'),
    ('analytics_lector', 'analytics.targets', 'SELECT'),
    ('analytics_lector', 'analytics.v_kpis_en_vivo', 'SELECT'),
    ('analytics_lector', 'analytics.v_metricas_mensuales_tiempo_real', 'SELECT'),
    ('analytics_lector', 'api.mv_demanda_ciudades', 'SELECT'),
    ('analytics_lector', 'api.mv_embudo_niveles', 'SELECT'),
    ('analytics_lector', 'api.mv_embudo_operativo', 'SELECT'),
    ('analytics_lector', 'api.mv_finanzas_mensuales', 'SELECT'),
    ('analytics_lector', 'api.mv_metricas_mensuales', 'SELECT'),
    ('analytics_lector', 'api.mv_ranking_asesores', 'SELECT'),
    ('analytics_lector', 'api.mv_retencion_asesores', 'SELECT'),
    ('analytics_lector', 'api.mv_salud_marketplace', 'SELECT'),
    ('analytics_lector', 'api.mv_segmentos_asesores', 'SELECT'),
    ('analytics_operador', 'analytics.alert_outbox', 'SELECT'),
    ('analytics_operador', 'analytics.alerts', 'SELECT'),
    ('analytics_operador', 'analytics.audit_log', 'SELECT'),
    ('analytics_operador', 'analytics.digest_deliveries', 'SELECT'),
    ('analytics_operador', 'analytics.digest_subscriptions', 'SELECT'),
    ('analytics_operador', 'analytics.gate_acceptances', 'SELECT'),
    ('analytics_operador', 'analytics.gate_holds', 'SELECT'),
    ('analytics_operador', 'analytics.hub_sites', 'SELECT'),
    ('analytics_operador', 'analytics.migration_ledger', 'SELECT'),
    ('analytics_operador', 'analytics.mv_demanda_ciudades', 'SELECT'),
    ('analytics_operador', 'analytics.mv_embudo_niveles', 'SELECT'),
    ('analytics_operador', 'analytics.mv_embudo_operativo', 'SELECT'),
    ('analytics_operador', 'analytics.mv_finanzas_mensuales', 'SELECT'),
    ('analytics_operador', 'analytics.mv_metricas_mensuales', 'SELECT'),
    ('analytics_operador', 'analytics.mv_ranking_asesores', 'SELECT'),
    ('analytics_operador', 'analytics.mv_retencion_asesores', 'SELECT'),
    ('analytics_operador', 'analytics.mv_salud_marketplace', 'SELECT'),
    ('analytics_operador', 'analytics.mv_segmentos_asesores', 'SELECT'),
    ('analytics_operador', 'analytics.notes', 'SELECT'),
    ('analytics_operador', 'analytics.publications', 'SELECT'),
    ('analytics_operador', 'analytics.rebuild_progress', 'SELECT'),
    ('analytics_operador', 'analytics.refresh_jobs', 'SELECT'),
    ('analytics_operador', 'analytics.refresh_log', 'SELECT'),
    ('analytics_operador', 'analytics.restatements', 'SELECT'),
    ('analytics_operador', 'analytics.scheduler_state', 'SELECT'),
    ('analytics_operador', 'analytics.settings', 'SELECT'),
    ('analytics_operador', 'analytics.target_results', 'SELECT'),
    ('analytics_operador', 'analytics.targets', 'SELECT'),
    ('analytics_operador', 'analytics.uncountable_rows', 'SELECT'),
    ('analytics_operador', 'analytics.usage_by_hour', 'SELECT'),
    ('analytics_operador', 'analytics.v_kpis_en_vivo', 'SELECT'),
    ('analytics_operador', 'analytics.v_metricas_mensuales_tiempo_real', 'SELECT'),
    ('analytics_operador', 'analytics.view_state', 'SELECT'),
    ('analytics_operador', 'api.mv_demanda_ciudades', 'SELECT'),
    ('analytics_operador', 'api.mv_embudo_niveles', 'SELECT'),
    ('analytics_operador', 'api.mv_embudo_operativo', 'SELECT'),
    ('analytics_operador', 'api.mv_finanzas_mensuales', 'SELECT'),
    ('analytics_operador', 'api.mv_metricas_mensuales', 'SELECT'),
    ('analytics_operador', 'api.mv_ranking_asesores', 'SELECT'),
    ('analytics_operador', 'api.mv_retencion_asesores', 'SELECT'),
    ('analytics_operador', 'api.mv_salud_marketplace', 'SELECT'),
    ('analytics_operador', 'api.mv_segmentos_asesores', 'SELECT')$$,
    'who may read what; nobody but the owner reads a source table through this package'
);

SELECT * FROM finish(); -- noqa: AM04
ROLLBACK;
