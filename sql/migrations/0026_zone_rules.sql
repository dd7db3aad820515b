-- By which rules of the time zone the facts were computed: the server may get others.

ALTER TABLE kpi_engine.engine_state ADD COLUMN zone_from date;
ALTER TABLE kpi_engine.engine_state ADD COLUMN zone_until date;
ALTER TABLE kpi_engine.engine_state ADD COLUMN zone_rules text;
COMMENT ON COLUMN kpi_engine.engine_state.zone_from IS
'First day that zone_rules is about.';
COMMENT ON COLUMN kpi_engine.engine_state.zone_until IS
'Last day that zone_rules is about: all days of the facts lie between, with a month at both ends.';
COMMENT ON COLUMN kpi_engine.engine_state.zone_rules IS
'Checksum of the instants at which these local days began by the rules that the facts were '
'computed with (kpi_engine.zone_rules()); NULL: not known yet.';
