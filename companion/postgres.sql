-- The tables of CLI_AUTH_STORE=postgres://... Run it as the owner of the database; it can be run again.
CREATE TABLE IF NOT EXISTS cli_auth_marks (
  key        text PRIMARY KEY,
  attempt    text NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS cli_auth_marks_expires_at ON cli_auth_marks (expires_at);

CREATE TABLE IF NOT EXISTS cli_auth_grants (
  family     text PRIMARY KEY,
  person     text NOT NULL,
  org        text NOT NULL,
  machine    text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  used_at    timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS cli_auth_grants_person ON cli_auth_grants (person);
CREATE INDEX IF NOT EXISTS cli_auth_grants_expires_at ON cli_auth_grants (expires_at);

CREATE TABLE IF NOT EXISTS cli_auth_counts (
  name       text PRIMARY KEY,
  count      integer NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS cli_auth_counts_expires_at ON cli_auth_counts (expires_at);

-- What the app's user needs, if it is not the owner:
-- GRANT SELECT, INSERT, UPDATE, DELETE ON cli_auth_marks, cli_auth_grants, cli_auth_counts TO app;
