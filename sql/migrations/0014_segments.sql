-- Where one segment of advisors ends and the next begins; under which settings a view was shown.

-- The validation that an earlier version left does not know these settings yet.
DO $validation_off$
BEGIN
    IF to_regproc('kpi_engine.validate_setting') IS NOT NULL THEN
        ALTER TABLE kpi_engine.settings DISABLE TRIGGER validate_setting;
    END IF;
END;
$validation_off$;

INSERT INTO kpi_engine.settings (name, value, description) VALUES
(
    'segment_new_days', '30',
    'An advisor is NUEVO for so many days after registration. A whole number from 0.'
),
(
    'segment_recent_days', '7',
    'ESTRELLA and EN_ASCENSO have an offer at most so many days old. A whole number from 0.'
),
(
    'segment_active_offers', '10',
    'ESTRELLA and EN_ASCENSO made more offers than this in the last 30 days. A whole number from 0.'
),
(
    'segment_star_value', '6000000',
    'ESTRELLA has at least this accepted value in the last 90 days. Pesos, a whole number from 0.'
),
(
    'segment_dormant_days', '30',
    'GIGANTE_DORMIDO has no offer for more days than this. A whole number from 0.'
),
(
    'segment_dormant_value', '6000000',
    'GIGANTE_DORMIDO has at least this accepted value of all time. Pesos, a whole number from 0.'
),
(
    'segment_risk_offers', '4',
    'EN_RIESGO made at least so many offers in the 30 days before the last 30, and at most half of '
    'them since. A whole number from 0.'
),
(
    'segment_steady_days', '14',
    'CONSISTENTE has an offer at most so many days old. A whole number from 0.'
),
(
    'segment_steady_offers', '5',
    'CONSISTENTE made at least so many offers in the last 30 days. A whole number from 0.'
);

DO $validation_on$
BEGIN
    IF to_regproc('kpi_engine.validate_setting') IS NOT NULL THEN
        ALTER TABLE kpi_engine.settings ENABLE TRIGGER validate_setting;
    END IF;
END;
$validation_on$;

ALTER TABLE kpi_engine.view_state ADD COLUMN settings_checksum text;
COMMENT ON COLUMN kpi_engine.view_state.settings_checksum IS
'kpi_engine.settings_checksum() when the view was last refreshed; NULL where it reads no setting.';
