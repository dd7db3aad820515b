-- Digests on their way. For operators alone: an error of a mail server may name an address.
--
-- Shows kpi_engine.digest_deliveries. Comments come from there: make migrate copies them.

CREATE OR REPLACE VIEW analytics.digest_deliveries AS
SELECT
    digest_deliveries.delivery_id,
    digest_deliveries.subscription_id,
    digest_deliveries.period,
    digest_deliveries.created_at,
    digest_deliveries.delivered_at,
    digest_deliveries.attempts,
    digest_deliveries.next_attempt_at,
    digest_deliveries.last_error
FROM kpi_engine.digest_deliveries;

REVOKE ALL ON analytics.digest_deliveries FROM public;
GRANT SELECT ON analytics.digest_deliveries TO analytics_operador;
