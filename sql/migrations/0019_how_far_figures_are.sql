-- How far a subscription is, how far the facts are, and what a hub knows of that.

CREATE TABLE kpi_engine.subscription_marks (
    subscription text PRIMARY KEY,
    subscription_id oid NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    as_of timestamptz,
    apply_errors bigint NOT NULL DEFAULT 0,
    worker_pid integer,
    first_word_at timestamptz
);
COMMENT ON TABLE kpi_engine.subscription_marks IS
'How far each subscription was when a tick or a refresh last saw its worker without work left.';
COMMENT ON COLUMN kpi_engine.subscription_marks.subscription IS 'Name of the subscription.';
COMMENT ON COLUMN kpi_engine.subscription_marks.subscription_id IS
'Its oid, by which a subscription that got another name is known.';
COMMENT ON COLUMN kpi_engine.subscription_marks.noted_at IS
'When a tick or a refresh saw the subscription first, by the wall clock.';
COMMENT ON COLUMN kpi_engine.subscription_marks.as_of IS
'What the publisher had committed until then was here; NULL: its worker was never seen so.';
COMMENT ON COLUMN kpi_engine.subscription_marks.apply_errors IS
'apply_error_count of pg_stat_subscription_stats then, or when it was seen first.';
COMMENT ON COLUMN kpi_engine.subscription_marks.worker_pid IS
'Process of the worker that was seen last; NULL: there was none.';
COMMENT ON COLUMN kpi_engine.subscription_marks.first_word_at IS
'latest_end_time of this worker when it was seen first: this word of the publisher may be its '
'greeting, which does not say that nothing waits. NULL: there was none yet.';

ALTER TABLE kpi_engine.engine_state ADD COLUMN facts_as_of timestamptz;
COMMENT ON COLUMN kpi_engine.engine_state.facts_as_of IS
'Last refresh that brought the facts up to date; NULL: none since this is noted.';
ALTER TABLE kpi_engine.engine_state ADD COLUMN facts_behind text;
COMMENT ON COLUMN kpi_engine.engine_state.facts_behind IS
'Why the source was behind its publishers at that refresh; NULL: it was not.';
ALTER TABLE kpi_engine.engine_state ADD COLUMN facts_counted_as_of timestamptz;
COMMENT ON COLUMN kpi_engine.engine_state.facts_counted_as_of IS
'What all publishers had committed until then was here at that refresh; NULL: no subscription '
'writes here, or it is not known.';

ALTER TABLE kpi_engine.hub_sites ADD COLUMN behind text;
COMMENT ON COLUMN kpi_engine.hub_sites.behind IS
'Why the figures of the site lack rows itself: its source is behind its publishers; NULL: it says '
'nothing of the kind.';
ALTER TABLE kpi_engine.hub_sites ADD COLUMN counted_as_of timestamptz;
COMMENT ON COLUMN kpi_engine.hub_sites.counted_as_of IS
'If the site is behind: what its publishers had committed until then is counted; NULL: not known.';
