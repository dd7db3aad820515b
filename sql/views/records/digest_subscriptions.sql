-- Who gets a digest by mail. For operators alone: the addresses are personal data.
--
-- Shows kpi_engine.digest_subscriptions. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.digest_subscriptions AS
SELECT
    digest_subscriptions.subscription_id,
    digest_subscriptions.address,
    digest_subscriptions.frequency,
    digest_subscriptions.language,
    digest_subscriptions.cities,
    digest_subscriptions.subscribed_by,
    digest_subscriptions.subscribed_at,
    digest_subscriptions.last_queued,
    digest_subscriptions.last_sent
FROM kpi_engine.digest_subscriptions;

REVOKE ALL ON analytics.digest_subscriptions FROM public;
GRANT SELECT ON analytics.digest_subscriptions TO analytics_operador;
