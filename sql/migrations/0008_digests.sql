-- Who gets a digest by mail, and the digests on their way.

CREATE TABLE kpi_engine.digest_subscriptions (
    subscription_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    address text NOT NULL CHECK (length(address) <= 254 AND address !~ '[[:cntrl:][:space:]]'),
    frequency text NOT NULL CHECK (frequency IN ('daily', 'weekly', 'monthly')),
    language text NOT NULL CHECK (language IN ('es', 'en')),
    cities text[] CHECK (cardinality(cities) BETWEEN 1 AND 100),
    subscribed_by text NOT NULL,
    subscribed_at timestamptz NOT NULL,
    last_queued date,
    last_sent date
);
-- One mailbox gets one digest for each period.
CREATE UNIQUE INDEX digest_subscriptions_once
ON kpi_engine.digest_subscriptions (lower(address), frequency);
COMMENT ON TABLE kpi_engine.digest_subscriptions IS
'Who gets a digest by mail. Personal data: the addresses. analytics.subscribe_digest() and '
'analytics.unsubscribe_digest() write here. Never trimmed.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.subscription_id IS 'Number of the subscription.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.address IS 'The mailbox. Personal data.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.frequency IS
'daily: yesterday. weekly: last week. monthly: the month that closed.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.language IS 'es or en.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.cities IS
'Keys (analytics.city_key) of the cities that it is about; NULL: the whole country.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.subscribed_by IS 'Who wrote it last.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.subscribed_at IS
'When it began (analytics.now()). Periods that were over by then, or months that were closed by '
'then, are not sent.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.last_queued IS
'First day of the last period that was put into kpi_engine.digest_deliveries.';
COMMENT ON COLUMN kpi_engine.digest_subscriptions.last_sent IS
'First day of the last period that was sent.';

CREATE TABLE kpi_engine.digest_deliveries (
    delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id bigint NOT NULL
    REFERENCES kpi_engine.digest_subscriptions ON DELETE CASCADE,
    period date NOT NULL,
    created_at timestamptz NOT NULL,
    delivered_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    last_error text,
    CONSTRAINT digest_deliveries_once UNIQUE (subscription_id, period)
);
CREATE INDEX digest_deliveries_waiting ON kpi_engine.digest_deliveries (delivery_id)
WHERE delivered_at IS NULL;
COMMENT ON TABLE kpi_engine.digest_deliveries IS
'Digests for scripts/notifier.py to send: one for each subscription and period. Trimmed after '
'log_retention_days.';
COMMENT ON COLUMN kpi_engine.digest_deliveries.delivery_id IS 'Number of the digest.';
COMMENT ON COLUMN kpi_engine.digest_deliveries.subscription_id IS 'Whose digest it is.';
COMMENT ON COLUMN kpi_engine.digest_deliveries.period IS
'First day of the day, week or month that it is about.';
COMMENT ON COLUMN kpi_engine.digest_deliveries.created_at IS 'When it was put here.';
COMMENT ON COLUMN kpi_engine.digest_deliveries.delivered_at IS
'When a mail server took it; NULL until then.';
COMMENT ON COLUMN kpi_engine.digest_deliveries.attempts IS 'How often its delivery was begun.';
COMMENT ON COLUMN kpi_engine.digest_deliveries.next_attempt_at IS
'When a notifier may take it; infinity once it was given up.';
COMMENT ON COLUMN kpi_engine.digest_deliveries.last_error IS 'Why the last attempt failed.';
