-- Tables of other services that a subscription brings lose rows in the same ways as operational
-- ones.

ALTER TABLE kpi_engine.feeding_marks ADD COLUMN updates_missed bigint;
COMMENT ON COLUMN kpi_engine.feeding_marks.updates_missed IS
'As in kpi_engine.subscription_marks.';
COMMENT ON TABLE kpi_engine.followed_tables IS
'Operational tables, and tables of other services that KPI views read, that a subscription brought '
'when a tick or a refresh looked. Forgotten only by analytics.forget_subscription().';
