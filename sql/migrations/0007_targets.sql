-- Targets of operators, what became of them, and dated notes.

CREATE TABLE kpi_engine.targets (
    target_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    view_name text NOT NULL,
    column_name text NOT NULL,
    first_period date NOT NULL,
    value numeric NOT NULL CHECK (value <> 'NaN' AND abs(value) < 1000000000000000),
    better text CHECK (better IN ('up', 'down')),
    set_by text NOT NULL,
    set_at timestamptz NOT NULL,
    CONSTRAINT targets_once UNIQUE (view_name, column_name, first_period)
);
COMMENT ON TABLE kpi_engine.targets IS
'Targets of KPI columns. A target holds from its first period until the next target of the same '
'column. analytics.set_target() and analytics.remove_target() write here. Never trimmed.';
COMMENT ON COLUMN kpi_engine.targets.target_id IS 'Order of writing.';
COMMENT ON COLUMN kpi_engine.targets.view_name IS 'KPI view of schema analytics.';
COMMENT ON COLUMN kpi_engine.targets.column_name IS 'A column of the view that is a number.';
COMMENT ON COLUMN kpi_engine.targets.first_period IS
'First day of the first month, week or day for which it holds; a day where the view has no time.';
COMMENT ON COLUMN kpi_engine.targets.value IS 'The target, in the unit of the column.';
COMMENT ON COLUMN kpi_engine.targets.better IS
'up: the figure must be this value or more. down: this value or less. NULL: the catalogue has the '
'direction of the column.';
COMMENT ON COLUMN kpi_engine.targets.set_by IS 'Who set it.';
COMMENT ON COLUMN kpi_engine.targets.set_at IS
'When its value or direction was set (analytics.now()). Periods that were closed by then get no '
'result.';

CREATE TABLE kpi_engine.target_results (
    view_name text NOT NULL,
    column_name text NOT NULL,
    period date NOT NULL,
    target numeric NOT NULL,
    better text NOT NULL CHECK (better IN ('up', 'down')),
    figure numeric,
    is_missed boolean,
    is_alert boolean NOT NULL,
    run_id bigint NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (view_name, column_name, period)
);
CREATE INDEX target_results_alerts ON kpi_engine.target_results (noted_at) WHERE is_alert;
COMMENT ON TABLE kpi_engine.target_results IS
'What became of the targets: one row for each closed period of a column that had a target. Written '
'once, by the refresh that closed the period. Never trimmed.';
COMMENT ON COLUMN kpi_engine.target_results.view_name IS 'As in kpi_engine.targets.';
COMMENT ON COLUMN kpi_engine.target_results.column_name IS 'As in kpi_engine.targets.';
COMMENT ON COLUMN kpi_engine.target_results.period IS
'First local day of the month, week or day that was closed.';
COMMENT ON COLUMN kpi_engine.target_results.target IS 'The target then.';
COMMENT ON COLUMN kpi_engine.target_results.better IS
'up: target or more was right; down: target or less.';
COMMENT ON COLUMN kpi_engine.target_results.figure IS
'The reported figure; what fill=true shows where the period has no row; NULL: there is none.';
COMMENT ON COLUMN kpi_engine.target_results.is_missed IS
'Whether the figure misses the target; NULL without a figure.';
COMMENT ON COLUMN kpi_engine.target_results.is_alert IS
'Whether it is an alert: it is missed, the setting target_alert asked for it, and nobody has '
'changed or removed the target since.';
COMMENT ON COLUMN kpi_engine.target_results.run_id IS
'The refresh that noted it, as in analytics.refresh_log.';
COMMENT ON COLUMN kpi_engine.target_results.noted_at IS 'When it was noted (analytics.now()).';

CREATE TABLE kpi_engine.notes (
    note_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL,
    note text NOT NULL CHECK (length(note) BETWEEN 1 AND 200),
    view_name text,
    author text NOT NULL,
    written_at timestamptz NOT NULL
);
CREATE INDEX notes_by_day ON kpi_engine.notes (day);
COMMENT ON TABLE kpi_engine.notes IS
'Dated notes of operators, such as 2026-03-12: nuevos precios. analytics.add_note() and '
'analytics.remove_note() write here. Never trimmed.';
COMMENT ON COLUMN kpi_engine.notes.note_id IS 'Number of the note.';
COMMENT ON COLUMN kpi_engine.notes.day IS 'The local day that it is about.';
COMMENT ON COLUMN kpi_engine.notes.note IS
'Its text: 1 to 200 characters, no control characters. It is plain text: markup has no meaning.';
COMMENT ON COLUMN kpi_engine.notes.view_name IS
'KPI view that it is about; NULL: it is about all of them.';
COMMENT ON COLUMN kpi_engine.notes.author IS 'Who wrote it.';
COMMENT ON COLUMN kpi_engine.notes.written_at IS 'When it was written (analytics.now()).';
