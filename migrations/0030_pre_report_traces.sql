-- The span of the webhook that brought a report: the span of the decision links to it. The previous
-- version writes none.
ALTER TABLE inbox ADD COLUMN traceparent text NOT NULL DEFAULT '';
