-- The incremental refresh: what changed, the facts and totals derived from the source,
-- and the state of the engine.
--
-- Derived tables come in two sets, a and b. Everybody reads them through a view without
-- the suffix, which shows the active set; a rebuild fills the other one and then lets the
-- views show it (analytics.activate_set). These views are not object files: which set
-- they show is data, and must survive a later make migrate.


-- -- what changed ----------------------------------------------------------------------------

-- No index, no constraint: nothing that a writer could wait for or fail at. Rows are
-- only ever inserted by writers and deleted by one session at a time. Space is reused, not
-- given back: truncating the file would make writers wait.
CREATE TABLE analytics.change_log (
    entity text NOT NULL,
    key uuid
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 1000000,
    vacuum_truncate = off
);
COMMENT ON TABLE analytics.change_log IS
'Keys of changed source rows, appended by the triggers of change capture in the writer''s own '
'transaction. Moved to analytics.pending_changes every minute and by each refresh.';
COMMENT ON COLUMN analytics.change_log.entity IS
'What key identifies: solicitud, oferta (whose request is looked up later), asesor, usuario, '
'historica, notificacion, auditoria; or everything, after a TRUNCATE.';
COMMENT ON COLUMN analytics.change_log.key IS
'Id of the row; NULL for everything.';


CREATE TABLE analytics.pending_changes (
    entity text NOT NULL CHECK (
        entity IN (
            'solicitud', 'asesor', 'usuario', 'historica', 'notificacion', 'auditoria',
            'everything'
        )
    ),
    key uuid NOT NULL,
    epoch bigint NOT NULL,
    is_applied boolean NOT NULL DEFAULT false,
    PRIMARY KEY (entity, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE analytics.pending_changes IS
'What the next refresh recomputes: the change log without duplicates, offers resolved to '
'their requests.';
COMMENT ON COLUMN analytics.pending_changes.entity IS
'What key identifies, as in analytics.change_log.';
COMMENT ON COLUMN analytics.pending_changes.key IS
'Id of the row; 00000000-… for everything.';
COMMENT ON COLUMN analytics.pending_changes.epoch IS
'Rebuild during or after which it was last noted: a rebuild covers what is older than itself.';
COMMENT ON COLUMN analytics.pending_changes.is_applied IS
'True where the active set has it already and only the unfinished rebuild still needs it.';


-- -- facts: one row per request --------------------------------------------------------------

CREATE TABLE analytics.solicitud_facts_a (
    solicitud_id uuid PRIMARY KEY,
    local_day date NOT NULL,
    mes date NOT NULL,
    nivel_actual integer,
    cliente_id uuid,
    first_offer_at timestamptz,
    evaluated_at timestamptz,
    offers integer NOT NULL,
    offers_won integer NOT NULL,
    offers_accepted integer NOT NULL,
    offers_pending integer NOT NULL,
    delivery_days_count integer NOT NULL,
    price_count integer NOT NULL,
    warranty_months_count integer NOT NULL,
    is_accepted boolean NOT NULL,
    is_rejected boolean NOT NULL,
    estado text,
    ciudad_key text,
    closing_seconds numeric,
    delivery_days_sum numeric NOT NULL,
    price_sum numeric NOT NULL,
    price_minimum numeric,
    price_maximum numeric,
    warranty_months_sum numeric NOT NULL,
    accepted_amount numeric NOT NULL,
    asesor_ids uuid[] NOT NULL,
    marcas text[] NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX solicitud_facts_a_local_day ON analytics.solicitud_facts_a (local_day);
COMMENT ON COLUMN analytics.solicitud_facts_a.solicitud_id IS 'The request.';
COMMENT ON COLUMN analytics.solicitud_facts_a.local_day IS
'Local date of created_at; -infinity where it is NULL or not in the years 2000 to 2099.';
COMMENT ON COLUMN analytics.solicitud_facts_a.mes IS 'First day of the month of local_day.';
COMMENT ON COLUMN analytics.solicitud_facts_a.nivel_actual IS
'solicitudes.nivel_actual; NULL where the source has no such column.';
COMMENT ON COLUMN analytics.solicitud_facts_a.cliente_id IS 'The client.';
COMMENT ON COLUMN analytics.solicitud_facts_a.first_offer_at IS
'Earliest created_at of its offers.';
COMMENT ON COLUMN analytics.solicitud_facts_a.evaluated_at IS
'fecha_evaluacion; NULL where the source has no such column.';
COMMENT ON COLUMN analytics.solicitud_facts_a.offers IS 'Its offers.';
COMMENT ON COLUMN analytics.solicitud_facts_a.offers_won IS
'Offers that were ever selected: estado GANADORA or ACEPTADA, or with an adjudication.';
COMMENT ON COLUMN analytics.solicitud_facts_a.offers_accepted IS 'Offers with estado ACEPTADA.';
COMMENT ON COLUMN analytics.solicitud_facts_a.offers_pending IS 'Offers with estado ENVIADA.';
COMMENT ON COLUMN analytics.solicitud_facts_a.delivery_days_count IS
'Offers with a tiempo_entrega_dias.';
COMMENT ON COLUMN analytics.solicitud_facts_a.price_count IS 'Offer lines with a price.';
COMMENT ON COLUMN analytics.solicitud_facts_a.warranty_months_count IS
'Offer lines with a garantia_meses.';
COMMENT ON COLUMN analytics.solicitud_facts_a.is_accepted IS
'cliente_acepto; where it is NULL, estado OFERTAS_ACEPTADAS or ACEPTADA.';
COMMENT ON COLUMN analytics.solicitud_facts_a.is_rejected IS
'Not cliente_acepto; where it is NULL, estado OFERTAS_RECHAZADAS or RECHAZADA.';
COMMENT ON COLUMN analytics.solicitud_facts_a.estado IS 'State of the request.';
COMMENT ON COLUMN analytics.solicitud_facts_a.ciudad_key IS
'analytics.city_key(ciudad_origen).';
COMMENT ON COLUMN analytics.solicitud_facts_a.closing_seconds IS
'Seconds from created_at to closing; NULL where the request is not closed or has no month.';
COMMENT ON COLUMN analytics.solicitud_facts_a.delivery_days_sum IS
'Sum of tiempo_entrega_dias of its offers.';
COMMENT ON COLUMN analytics.solicitud_facts_a.price_sum IS
'Sum of precio_unitario of the lines of its offers, in pesos.';
COMMENT ON COLUMN analytics.solicitud_facts_a.price_minimum IS 'Lowest of these prices.';
COMMENT ON COLUMN analytics.solicitud_facts_a.price_maximum IS 'Highest of these prices.';
COMMENT ON COLUMN analytics.solicitud_facts_a.warranty_months_sum IS
'Sum of garantia_meses of the lines.';
COMMENT ON COLUMN analytics.solicitud_facts_a.accepted_amount IS
'Sum of precio_unitario × cantidad over the lines of accepted offers, in pesos.';
COMMENT ON COLUMN analytics.solicitud_facts_a.asesor_ids IS 'Distinct advisors with an offer.';
COMMENT ON COLUMN analytics.solicitud_facts_a.marcas IS
'Distinct vehicle brands of its parts, trimmed and upper-cased.';


-- -- months: sums over the facts, and how many requests of a month have a key ----------------

CREATE TABLE analytics.month_totals_a (
    mes date PRIMARY KEY,
    requests bigint NOT NULL DEFAULT 0,
    requests_accepted bigint NOT NULL DEFAULT 0,
    requests_rejected bigint NOT NULL DEFAULT 0,
    requests_expired bigint NOT NULL DEFAULT 0,
    requests_without_offers bigint NOT NULL DEFAULT 0,
    requests_open bigint NOT NULL DEFAULT 0,
    closing_seconds_sum numeric NOT NULL DEFAULT 0,
    closing_seconds_count bigint NOT NULL DEFAULT 0,
    offers bigint NOT NULL DEFAULT 0,
    offers_won bigint NOT NULL DEFAULT 0,
    offers_accepted bigint NOT NULL DEFAULT 0,
    offers_pending bigint NOT NULL DEFAULT 0,
    delivery_days_sum numeric NOT NULL DEFAULT 0,
    delivery_days_count bigint NOT NULL DEFAULT 0,
    price_sum numeric NOT NULL DEFAULT 0,
    price_count bigint NOT NULL DEFAULT 0,
    warranty_months_sum numeric NOT NULL DEFAULT 0,
    warranty_months_count bigint NOT NULL DEFAULT 0,
    accepted_amount numeric NOT NULL DEFAULT 0,
    price_minimum numeric,
    price_maximum numeric,
    clientes bigint NOT NULL DEFAULT 0,
    asesores bigint NOT NULL DEFAULT 0,
    marcas bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON COLUMN analytics.month_totals_a.mes IS
'First day of the local month; -infinity for the requests that belong to no month.';
COMMENT ON COLUMN analytics.month_totals_a.requests IS 'Requests created in the month.';
COMMENT ON COLUMN analytics.month_totals_a.requests_accepted IS 'Of those, accepted.';
COMMENT ON COLUMN analytics.month_totals_a.requests_rejected IS 'Of those, rejected.';
COMMENT ON COLUMN analytics.month_totals_a.requests_expired IS
'Of those, with estado EXPIRADA or CERRADA_SIN_OFERTAS.';
COMMENT ON COLUMN analytics.month_totals_a.requests_without_offers IS
'Of those, with estado CERRADA_SIN_OFERTAS.';
COMMENT ON COLUMN analytics.month_totals_a.requests_open IS 'Of those, with estado ABIERTA.';
COMMENT ON COLUMN analytics.month_totals_a.closing_seconds_sum IS 'Sum over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.closing_seconds_count IS 'Closed requests.';
COMMENT ON COLUMN analytics.month_totals_a.offers IS 'Offers for its requests.';
COMMENT ON COLUMN analytics.month_totals_a.offers_won IS 'Of those, ever selected.';
COMMENT ON COLUMN analytics.month_totals_a.offers_accepted IS 'Of those, ACEPTADA.';
COMMENT ON COLUMN analytics.month_totals_a.offers_pending IS 'Of those, ENVIADA.';
COMMENT ON COLUMN analytics.month_totals_a.delivery_days_sum IS 'Sum over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.delivery_days_count IS 'Sum over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.price_sum IS 'Sum over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.price_count IS 'Sum over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.warranty_months_sum IS 'Sum over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.warranty_months_count IS 'Sum over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.accepted_amount IS 'Sum over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.price_minimum IS 'Lowest over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.price_maximum IS 'Highest over its requests.';
COMMENT ON COLUMN analytics.month_totals_a.clientes IS 'Distinct clients of its requests.';
COMMENT ON COLUMN analytics.month_totals_a.asesores IS 'Distinct advisors with an offer.';
COMMENT ON COLUMN analytics.month_totals_a.marcas IS 'Distinct brands.';

CREATE TABLE analytics.month_clientes_a (
    mes date,
    cliente_id uuid,
    requests integer NOT NULL,
    PRIMARY KEY (mes, cliente_id)
) WITH (fillfactor = 90);
COMMENT ON COLUMN analytics.month_clientes_a.mes IS 'The month.';
COMMENT ON COLUMN analytics.month_clientes_a.cliente_id IS 'A client with a request in it.';
COMMENT ON COLUMN analytics.month_clientes_a.requests IS 'Requests of the month by this client.';

CREATE TABLE analytics.month_asesores_a (
    mes date,
    asesor_id uuid,
    requests integer NOT NULL,
    PRIMARY KEY (mes, asesor_id)
) WITH (fillfactor = 90);
COMMENT ON COLUMN analytics.month_asesores_a.mes IS 'The month.';
COMMENT ON COLUMN analytics.month_asesores_a.asesor_id IS
'An advisor with an offer for one of its requests.';
COMMENT ON COLUMN analytics.month_asesores_a.requests IS
'Requests of the month with an offer by this advisor.';

CREATE TABLE analytics.month_marcas_a (
    mes date,
    marca text,
    requests integer NOT NULL,
    PRIMARY KEY (mes, marca)
) WITH (fillfactor = 90);
COMMENT ON COLUMN analytics.month_marcas_a.mes IS 'The month.';
COMMENT ON COLUMN analytics.month_marcas_a.marca IS
'A vehicle brand of a part of one of its requests, trimmed and upper-cased.';
COMMENT ON COLUMN analytics.month_marcas_a.requests IS
'Requests of the month with a part of this brand.';


-- -- advisors: who they are, the rows of their windows, and the totals of these ---------------

CREATE TABLE analytics.asesor_facts_a (
    asesor_id uuid PRIMARY KEY,
    usuario_id uuid,
    nombre text,
    email text,
    has_usuario boolean NOT NULL,
    ciudad text,
    ciudad_key text,
    departamento text,
    punto_venta text,
    estado text,
    confianza numeric,
    actividad_reciente_pct numeric,
    desempeno_historico_pct numeric,
    nivel_actual integer
) WITH (fillfactor = 90);
CREATE INDEX asesor_facts_a_usuario_id ON analytics.asesor_facts_a (usuario_id);
COMMENT ON COLUMN analytics.asesor_facts_a.asesor_id IS 'The advisor.';
COMMENT ON COLUMN analytics.asesor_facts_a.usuario_id IS 'asesores.usuario_id.';
COMMENT ON COLUMN analytics.asesor_facts_a.nombre IS
'nombre and apellido of the user, joined by one space; empty parts are skipped.';
COMMENT ON COLUMN analytics.asesor_facts_a.email IS 'usuarios.email.';
COMMENT ON COLUMN analytics.asesor_facts_a.has_usuario IS 'Whether the user exists.';
COMMENT ON COLUMN analytics.asesor_facts_a.ciudad IS 'City, as stored.';
COMMENT ON COLUMN analytics.asesor_facts_a.ciudad_key IS 'analytics.city_key(ciudad).';
COMMENT ON COLUMN analytics.asesor_facts_a.departamento IS 'As stored.';
COMMENT ON COLUMN analytics.asesor_facts_a.punto_venta IS 'As stored.';
COMMENT ON COLUMN analytics.asesor_facts_a.estado IS 'As stored.';
COMMENT ON COLUMN analytics.asesor_facts_a.confianza IS 'As stored.';
COMMENT ON COLUMN analytics.asesor_facts_a.actividad_reciente_pct IS 'As stored.';
COMMENT ON COLUMN analytics.asesor_facts_a.desempeno_historico_pct IS 'As stored.';
COMMENT ON COLUMN analytics.asesor_facts_a.nivel_actual IS
'As stored; NULL where the source has no such column.';

CREATE TABLE analytics.historica_facts_a (
    historica_id uuid PRIMARY KEY,
    asesor_id uuid NOT NULL,
    local_day date NOT NULL,
    is_won boolean NOT NULL,
    is_accepted boolean NOT NULL,
    is_delivered boolean NOT NULL,
    response_seconds numeric,
    amount numeric
) WITH (fillfactor = 90);
CREATE INDEX historica_facts_a_local_day ON analytics.historica_facts_a (local_day);
COMMENT ON COLUMN analytics.historica_facts_a.historica_id IS 'ofertas_historicas.id.';
COMMENT ON COLUMN analytics.historica_facts_a.asesor_id IS 'The advisor.';
COMMENT ON COLUMN analytics.historica_facts_a.local_day IS 'Local date of fecha.';
COMMENT ON COLUMN analytics.historica_facts_a.is_won IS 'adjudicada is true.';
COMMENT ON COLUMN analytics.historica_facts_a.is_accepted IS 'aceptada_cliente is true.';
COMMENT ON COLUMN analytics.historica_facts_a.is_delivered IS 'entrega_exitosa is true.';
COMMENT ON COLUMN analytics.historica_facts_a.response_seconds IS
'tiempo_respuesta_seg; NULL where it is 0, which means unknown here.';
COMMENT ON COLUMN analytics.historica_facts_a.amount IS 'monto_total, in pesos.';

CREATE TABLE analytics.notificacion_facts_a (
    notificacion_id uuid PRIMARY KEY,
    asesor_id uuid NOT NULL,
    local_day date NOT NULL,
    is_answered boolean NOT NULL,
    response_seconds numeric
) WITH (fillfactor = 90);
CREATE INDEX notificacion_facts_a_local_day ON analytics.notificacion_facts_a (local_day);
COMMENT ON COLUMN analytics.notificacion_facts_a.notificacion_id IS
'historial_respuestas_ofertas.id.';
COMMENT ON COLUMN analytics.notificacion_facts_a.asesor_id IS 'The advisor.';
COMMENT ON COLUMN analytics.notificacion_facts_a.local_day IS 'Local date of fecha_envio.';
COMMENT ON COLUMN analytics.notificacion_facts_a.is_answered IS 'respondio is true.';
COMMENT ON COLUMN analytics.notificacion_facts_a.response_seconds IS
'tiempo_respuesta_seg where it was answered.';

CREATE TABLE analytics.auditoria_facts_a (
    auditoria_id uuid PRIMARY KEY,
    asesor_id uuid NOT NULL,
    local_day date NOT NULL,
    fecha_revision timestamptz NOT NULL,
    score numeric
) WITH (fillfactor = 90);
CREATE INDEX auditoria_facts_a_local_day ON analytics.auditoria_facts_a (local_day);
CREATE INDEX auditoria_facts_a_asesor_id ON analytics.auditoria_facts_a (asesor_id);
COMMENT ON COLUMN analytics.auditoria_facts_a.auditoria_id IS 'Id of the audit.';
COMMENT ON COLUMN analytics.auditoria_facts_a.asesor_id IS 'The advisor.';
COMMENT ON COLUMN analytics.auditoria_facts_a.local_day IS 'Local date of fecha_revision.';
COMMENT ON COLUMN analytics.auditoria_facts_a.fecha_revision IS 'As stored.';
COMMENT ON COLUMN analytics.auditoria_facts_a.score IS 'puntaje_confianza.';

CREATE TABLE analytics.asesor_totals_a (
    asesor_id uuid PRIMARY KEY,
    offers bigint NOT NULL DEFAULT 0,
    offers_won bigint NOT NULL DEFAULT 0,
    offers_accepted bigint NOT NULL DEFAULT 0,
    offers_delivered bigint NOT NULL DEFAULT 0,
    offers_complete bigint NOT NULL DEFAULT 0,
    response_seconds_sum numeric NOT NULL DEFAULT 0,
    response_seconds_count bigint NOT NULL DEFAULT 0,
    amount_sum numeric NOT NULL DEFAULT 0,
    amount_count bigint NOT NULL DEFAULT 0,
    notifications bigint NOT NULL DEFAULT 0,
    notifications_answered bigint NOT NULL DEFAULT 0,
    answer_seconds_sum numeric NOT NULL DEFAULT 0,
    answer_seconds_count bigint NOT NULL DEFAULT 0,
    audits bigint NOT NULL DEFAULT 0,
    score_sum numeric NOT NULL DEFAULT 0,
    score_count bigint NOT NULL DEFAULT 0,
    latest_audit timestamptz
) WITH (fillfactor = 50);
COMMENT ON COLUMN analytics.asesor_totals_a.asesor_id IS 'The advisor.';
COMMENT ON COLUMN analytics.asesor_totals_a.offers IS
'Rows of analytics.historica_facts in the 30 local days that end with engine_state.today.';
COMMENT ON COLUMN analytics.asesor_totals_a.offers_won IS 'Of those, won.';
COMMENT ON COLUMN analytics.asesor_totals_a.offers_accepted IS 'Of those, accepted.';
COMMENT ON COLUMN analytics.asesor_totals_a.offers_delivered IS 'Of those, delivered.';
COMMENT ON COLUMN analytics.asesor_totals_a.offers_complete IS 'Of those, all three.';
COMMENT ON COLUMN analytics.asesor_totals_a.response_seconds_sum IS 'Sum of those.';
COMMENT ON COLUMN analytics.asesor_totals_a.response_seconds_count IS
'Those with known response_seconds.';
COMMENT ON COLUMN analytics.asesor_totals_a.amount_sum IS 'Sum of those, in pesos.';
COMMENT ON COLUMN analytics.asesor_totals_a.amount_count IS 'Those with an amount.';
COMMENT ON COLUMN analytics.asesor_totals_a.notifications IS
'Rows of analytics.notificacion_facts in the same 30 days.';
COMMENT ON COLUMN analytics.asesor_totals_a.notifications_answered IS 'Of those, answered.';
COMMENT ON COLUMN analytics.asesor_totals_a.answer_seconds_sum IS
'Sum of response_seconds of the answered ones.';
COMMENT ON COLUMN analytics.asesor_totals_a.answer_seconds_count IS
'Answered ones with response_seconds.';
COMMENT ON COLUMN analytics.asesor_totals_a.audits IS
'Rows of analytics.auditoria_facts in the 90 local days that end with engine_state.today.';
COMMENT ON COLUMN analytics.asesor_totals_a.score_sum IS 'Sum of the scores of those.';
COMMENT ON COLUMN analytics.asesor_totals_a.score_count IS 'Those with a score.';
COMMENT ON COLUMN analytics.asesor_totals_a.latest_audit IS
'Latest fecha_revision not after engine_state.today, of all time.';


-- -- the two sets and the views over the active one -------------------------------------------

CREATE TABLE analytics.derived_tables (
    table_name text PRIMARY KEY,
    changed_version bigint NOT NULL DEFAULT 0,
    description text NOT NULL
);
COMMENT ON TABLE analytics.derived_tables IS
'The tables that the KPI views are made of, and the data version in which each last changed.';
COMMENT ON COLUMN analytics.derived_tables.table_name IS
'Name of the view over the active set; the sets have the suffixes _a and _b.';
COMMENT ON COLUMN analytics.derived_tables.changed_version IS
'engine_state.data_version when its contents last changed.';
COMMENT ON COLUMN analytics.derived_tables.description IS 'What it holds.';

INSERT INTO analytics.derived_tables (table_name, description) VALUES
('solicitud_facts', 'One row per request: everything a KPI needs to know of it.'),
('month_totals', 'Sums of the facts by local month of the request.'),
('month_clientes', 'Requests by month and client: a client counts while there is one.'),
('month_asesores', 'Requests by month and advisor with an offer.'),
('month_marcas', 'Requests by month and vehicle brand.'),
('asesor_facts', 'One row per advisor: who it is.'),
('historica_facts', 'Rows of ofertas_historicas since the start of the 30-day window.'),
('notificacion_facts', 'Notifications since the start of the 30-day window.'),
('auditoria_facts', 'All audits.'),
('asesor_totals', 'Sliding totals by advisor: 30 local days, audits 90.');

DO $create_sets$
DECLARE
    v_table record;
BEGIN
    FOR v_table IN SELECT * FROM analytics.derived_tables LOOP
        EXECUTE format(
            'CREATE TABLE analytics.%I (LIKE analytics.%I INCLUDING ALL)',
            v_table.table_name || '_b', v_table.table_name || '_a'
        );
        EXECUTE format(
            'COMMENT ON TABLE analytics.%I IS %L', v_table.table_name || '_a',
            v_table.description || ' Set a; read analytics.' || v_table.table_name || '.'
        );
        EXECUTE format(
            'COMMENT ON TABLE analytics.%I IS %L', v_table.table_name || '_b',
            v_table.description || ' Set b; read analytics.' || v_table.table_name || '.'
        );
        EXECUTE format(
            'CREATE VIEW analytics.%I AS SELECT * FROM analytics.%I',
            v_table.table_name, v_table.table_name || '_a'
        );
        EXECUTE format(
            'COMMENT ON VIEW analytics.%I IS %L', v_table.table_name,
            v_table.description || ' The active set.'
        );
    END LOOP;
END;
$create_sets$;


-- -- the state of the engine ------------------------------------------------------------------

CREATE TABLE analytics.engine_state (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    active_set text NOT NULL DEFAULT 'a' CHECK (active_set IN ('a', 'b')),
    data_version bigint NOT NULL DEFAULT 0,
    time_zone text,
    today date,
    rebuild_reason text,
    rules_checksum text,
    epoch bigint NOT NULL DEFAULT 0,
    capture_signature text,
    audit_position integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE analytics.engine_state IS 'One row: what the derived tables stand for.';
COMMENT ON COLUMN analytics.engine_state.singleton IS 'Always true: there is one row.';
COMMENT ON COLUMN analytics.engine_state.active_set IS 'Set that the views show, a or b.';
COMMENT ON COLUMN analytics.engine_state.data_version IS
'Counts the refreshes that changed a derived table.';
COMMENT ON COLUMN analytics.engine_state.time_zone IS
'Zone in which local days were computed; NULL before the first rebuild.';
COMMENT ON COLUMN analytics.engine_state.today IS
'Local date with which the windows of analytics.asesor_totals end.';
COMMENT ON COLUMN analytics.engine_state.rebuild_reason IS
'Why the next refresh has to compute everything again; NULL where it has not.';
COMMENT ON COLUMN analytics.engine_state.rules_checksum IS
'Checksum of the functions and source views that the derived tables were computed with.';
COMMENT ON COLUMN analytics.engine_state.epoch IS 'Counts the rebuilds that were begun.';
COMMENT ON COLUMN analytics.engine_state.capture_signature IS
'What the catalog showed of change capture when it was last known to be without a gap.';
COMMENT ON COLUMN analytics.engine_state.audit_position IS
'How many parts of the rotation the self-audit has gone through.';

INSERT INTO analytics.engine_state (rebuild_reason) VALUES ('it was never built');


CREATE TABLE analytics.rebuild_batches (
    batch integer PRIMARY KEY,
    created_after timestamptz,
    created_until timestamptz,
    requests bigint NOT NULL,
    epoch bigint NOT NULL,
    time_zone text NOT NULL,
    rules_checksum text,
    capture_signature text,
    started_at timestamptz,
    finished_at timestamptz
);
COMMENT ON TABLE analytics.rebuild_batches IS
'The unfinished rebuild: its batches of requests by created_at. Empty when there is none. '
'Read analytics.rebuild_progress.';
COMMENT ON COLUMN analytics.rebuild_batches.batch IS 'Number of the batch, from 1.';
COMMENT ON COLUMN analytics.rebuild_batches.created_after IS
'created_at is later than this; NULL for the first batch, which also takes requests without one.';
COMMENT ON COLUMN analytics.rebuild_batches.created_until IS
'created_at is this or earlier; NULL for the last batch.';
COMMENT ON COLUMN analytics.rebuild_batches.requests IS
'Requests in it: counted when it was planned, then as computed.';
COMMENT ON COLUMN analytics.rebuild_batches.epoch IS 'The rebuild it belongs to.';
COMMENT ON COLUMN analytics.rebuild_batches.time_zone IS 'Zone it is computed in.';
COMMENT ON COLUMN analytics.rebuild_batches.rules_checksum IS 'Rules it is computed by.';
COMMENT ON COLUMN analytics.rebuild_batches.capture_signature IS
'What the catalog showed of change capture when the rebuild was begun.';
COMMENT ON COLUMN analytics.rebuild_batches.started_at IS 'By the wall clock.';
COMMENT ON COLUMN analytics.rebuild_batches.finished_at IS 'By the wall clock.';


CREATE TABLE analytics.audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    audited_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    table_name text NOT NULL,
    local_day date,
    column_name text NOT NULL,
    cells bigint NOT NULL,
    is_healed boolean NOT NULL
);
COMMENT ON TABLE analytics.audit_log IS
'Differences that the self-audit found between the derived tables and the source. Empty is well.';
COMMENT ON COLUMN analytics.audit_log.audit_id IS 'Order of writing.';
COMMENT ON COLUMN analytics.audit_log.audited_at IS 'When it was found, by the wall clock.';
COMMENT ON COLUMN analytics.audit_log.table_name IS 'Derived table.';
COMMENT ON COLUMN analytics.audit_log.local_day IS
'Local day of the facts, or first day of the month; NULL for advisors.';
COMMENT ON COLUMN analytics.audit_log.column_name IS
'Column that differed; row: a row too many or too few.';
COMMENT ON COLUMN analytics.audit_log.cells IS 'How many cells of that day and column differed.';
COMMENT ON COLUMN analytics.audit_log.is_healed IS 'Whether they were set right.';
GRANT SELECT ON analytics.audit_log TO analytics_lector, analytics_operador;


-- -- work tables: refilled by each refresh, empty between them ---------------------------------

CREATE UNLOGGED TABLE analytics.changed_solicitud_facts (
    sign smallint NOT NULL,
    LIKE analytics.solicitud_facts_a
);
COMMENT ON TABLE analytics.changed_solicitud_facts IS
'Work table of a refresh: facts that go (sign -1) and that come (sign 1).';
COMMENT ON COLUMN analytics.changed_solicitud_facts.sign IS '-1: goes, 1: comes.';

DO $comment_columns$
DECLARE
    v_column record;
BEGIN
    FOR v_column IN
        SELECT
            pg_attribute.attname,
            col_description(pg_attribute.attrelid, pg_attribute.attnum) AS description
        FROM pg_attribute
        WHERE
            pg_attribute.attrelid = 'analytics.solicitud_facts_a'::regclass
            AND pg_attribute.attnum > 0
    LOOP
        EXECUTE format(
            'COMMENT ON COLUMN analytics.changed_solicitud_facts.%I IS %L',
            v_column.attname, v_column.description
        );
    END LOOP;
END;
$comment_columns$;

CREATE UNLOGGED TABLE analytics.changed_asesor_rows (
    sign smallint NOT NULL,
    asesor_id uuid NOT NULL,
    offers integer NOT NULL DEFAULT 0,
    offers_won integer NOT NULL DEFAULT 0,
    offers_accepted integer NOT NULL DEFAULT 0,
    offers_delivered integer NOT NULL DEFAULT 0,
    response_seconds numeric,
    amount numeric,
    notifications integer NOT NULL DEFAULT 0,
    notifications_answered integer NOT NULL DEFAULT 0,
    answer_seconds numeric
);
COMMENT ON TABLE analytics.changed_asesor_rows IS
'Work table of a refresh: rows that leave (sign -1) or enter (sign 1) an advisor''s window.';
COMMENT ON COLUMN analytics.changed_asesor_rows.sign IS '-1: leaves, 1: enters.';
COMMENT ON COLUMN analytics.changed_asesor_rows.asesor_id IS 'The advisor.';
COMMENT ON COLUMN analytics.changed_asesor_rows.offers IS '1 for a historical offer.';
COMMENT ON COLUMN analytics.changed_asesor_rows.offers_won IS '1 where it was won.';
COMMENT ON COLUMN analytics.changed_asesor_rows.offers_accepted IS '1 where it was accepted.';
COMMENT ON COLUMN analytics.changed_asesor_rows.offers_delivered IS '1 where it was delivered.';
COMMENT ON COLUMN analytics.changed_asesor_rows.response_seconds IS 'Of the offer.';
COMMENT ON COLUMN analytics.changed_asesor_rows.amount IS 'Of the offer, in pesos.';
COMMENT ON COLUMN analytics.changed_asesor_rows.notifications IS '1 for a notification.';
COMMENT ON COLUMN analytics.changed_asesor_rows.notifications_answered IS
'1 where it was answered.';
COMMENT ON COLUMN analytics.changed_asesor_rows.answer_seconds IS 'Of the answer.';

CREATE UNLOGGED TABLE analytics.changed_asesor_ids (asesor_id uuid PRIMARY KEY);
COMMENT ON TABLE analytics.changed_asesor_ids IS
'Work table of a refresh: advisors whose audits are added up again.';
COMMENT ON COLUMN analytics.changed_asesor_ids.asesor_id IS 'The advisor.';


-- -- the refresh log and the views' state say more ---------------------------------------------

ALTER TABLE analytics.refresh_log
DROP CONSTRAINT refresh_log_mode_check,
ADD CONSTRAINT refresh_log_mode_check CHECK (
    mode IN ('full', 'incremental', 'unchanged', 'none')
),
ADD COLUMN reason text,
ADD COLUMN requests_recomputed bigint,
ADD COLUMN data_version bigint;
COMMENT ON COLUMN analytics.refresh_log.mode IS
'full: everything was computed again from the source; incremental: only what had changed; '
'unchanged: there was nothing to publish; none: it failed.';
COMMENT ON COLUMN analytics.refresh_log.reason IS 'Why that mode was taken.';
COMMENT ON COLUMN analytics.refresh_log.requests_recomputed IS
'Requests that the run computed from the source; NULL in the rows of views.';
COMMENT ON COLUMN analytics.refresh_log.data_version IS
'engine_state.data_version after the run, or that the view shows.';

ALTER TABLE analytics.view_state
ADD COLUMN published_version bigint;
COMMENT ON COLUMN analytics.view_state.published_version IS
'engine_state.data_version that the contents show; NULL before the first refresh.';
