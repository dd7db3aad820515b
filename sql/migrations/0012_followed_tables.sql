-- What subscriptions bring, so that one that is gone is missed.

CREATE TABLE kpi_engine.followed_tables (
    subscription text NOT NULL,
    table_name text NOT NULL,
    subscription_id oid NOT NULL,
    source_schema text NOT NULL,
    PRIMARY KEY (subscription, table_name)
);
COMMENT ON TABLE kpi_engine.followed_tables IS
'Operational tables that subscriptions (logical replication) bring, as a tick or a refresh saw '
'them; empty where the operational service writes here. A table that its subscription does not '
'bring any more stays in it until analytics.forget_subscription().';
COMMENT ON COLUMN kpi_engine.followed_tables.subscription IS 'Name of the subscription.';
COMMENT ON COLUMN kpi_engine.followed_tables.table_name IS
'Schema and name of the table, quoted where they need it.';
COMMENT ON COLUMN kpi_engine.followed_tables.subscription_id IS
'Its oid, by which a subscription that got another name is known.';
COMMENT ON COLUMN kpi_engine.followed_tables.source_schema IS 'Schema of the table.';
