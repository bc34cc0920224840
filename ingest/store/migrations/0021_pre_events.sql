-- What is told outside: events in the order in which programs pull them, and the endpoints they are delivered to.

CREATE TABLE events (
    event text PRIMARY KEY CHECK (event ~ '^evt_[0-9a-f]{32}$'),
    kind text NOT NULL,
    site text,
    subject text NOT NULL CHECK (subject <> ''),
    at timestamptz NOT NULL,
    body jsonb NOT NULL,
    endpoint text,
    told_at timestamptz NOT NULL DEFAULT now(),
    number bigint UNIQUE CHECK (number >= 1)
);
CREATE INDEX events_unnumbered ON events (told_at) WHERE number IS NULL;
CREATE INDEX events_by_subject ON events (subject);
COMMENT ON TABLE events IS
    'What happened, put here in the transaction in which it happened: it is told exactly if it is so. Bodies hold ids, '
    'states and counts, no names and no money.';
COMMENT ON COLUMN events.number IS
    'The place in the order in which programs pull, given after the commit by one at a time: what is numbered later always '
    'has a higher number, so a cursor skips nothing.';
COMMENT ON COLUMN events.endpoint IS 'The only endpoint it is for: a test of that endpoint, which nobody pulls. NULL: for all.';

CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number IS NULL AND NEW.number IS NOT NULL
        AND (NEW.event, NEW.kind, NEW.subject, NEW.at, NEW.body, NEW.told_at)
        = (OLD.event, OLD.kind, OLD.subject, OLD.at, OLD.body, OLD.told_at)
        AND (NEW.site, NEW.endpoint) IS NOT DISTINCT FROM (OLD.site, OLD.endpoint)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an event that was told is only ever numbered' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER events_stay BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION events_stay();

CREATE TABLE webhook_endpoints (
    endpoint text PRIMARY KEY CHECK (endpoint ~ '^whe_[0-9a-f]{32}$'),
    owner text NOT NULL CHECK (owner <> ''),
    url text NOT NULL,
    kinds text[],
    sites text[],
    description text NOT NULL DEFAULT '',
    state text NOT NULL CHECK (state IN ('on', 'off', 'gone', 'failing', 'removed')),
    added_at timestamptz NOT NULL,
    state_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since timestamptz,
    paused_until timestamptz,
    delivered_at timestamptz
);
COMMENT ON TABLE webhook_endpoints IS
    'Where events go. owner: the principal who added it, a client or a person. kinds, sites: those it gets; NULL: all.';
COMMENT ON COLUMN webhook_endpoints.state IS
    'on: delivered to. off: by a person. gone: its server answered 410. failing: no delivery for days. What happens '
    'meanwhile is kept and delivered once it is on again. removed: for good.';
COMMENT ON COLUMN webhook_endpoints.failures IS
    'Tries in a row that failed, since failing_since; nothing is tried before paused_until.';

CREATE TABLE webhook_secrets (
    endpoint text NOT NULL REFERENCES webhook_endpoints,
    number integer NOT NULL CHECK (number >= 1),
    algorithm text NOT NULL CHECK (algorithm IN ('hmac-sha256', 'ed25519')),
    sealed bytea NOT NULL,
    public_key text,
    made_at timestamptz NOT NULL,
    ends_at timestamptz,
    PRIMARY KEY (endpoint, number)
);
COMMENT ON TABLE webhook_secrets IS
    'What deliveries are signed with, sealed by a key that is not in the database. All that have not ended sign; the newest '
    'never ends, an older one ends when its rotation is over.';

CREATE TABLE webhook_deliveries (
    endpoint text NOT NULL REFERENCES webhook_endpoints,
    event text NOT NULL REFERENCES events ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
    made_at timestamptz NOT NULL DEFAULT now(),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    next_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    tries jsonb NOT NULL DEFAULT '[]',
    delivered_at timestamptz,
    PRIMARY KEY (endpoint, event)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, next_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (endpoint, made_at) WHERE state = 'dead';
CREATE INDEX webhook_deliveries_of_event ON webhook_deliveries (event);
COMMENT ON TABLE webhook_deliveries IS
    'One event on its way to one endpoint. dead: every try of the ladder failed; it stays until it is sent again by hand.';
COMMENT ON COLUMN webhook_deliveries.leased_until IS
    'Somebody tries just now; whoever is killed at it gives it back by this instant.';
