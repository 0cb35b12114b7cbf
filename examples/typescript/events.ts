// Handles payd's events as a durable consumer: each effect once, however often an event comes.
//
//   npx tsx events.ts --durable main-app-payment [--database effects.jsonl]

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, nanos } from "@nats-io/transport-node";

const { values: args } = parseArgs({
  options: {
    state: { type: "string", default: "../../.payd" },
    durable: { type: "string", default: "main-app-payment" },
    database: { type: "string", default: "effects.jsonl" },
  },
});

// A part of the body: the whole payment, by the proto's field names, and what is said of the event.
interface PaymentEvent {
  event_id: string;
  event_type: string;
  id: string;
  customer_id: string;
  metadata?: Record<string, string>;
}

/** A stub of the app's own database. */
class Database {
  private readonly handled = new Set<string>();

  constructor(private readonly file: string) {
    if (!existsSync(file)) return;
    for (const line of readFileSync(file, "utf8").trim().split("\n"))
      this.handled.add(JSON.parse(line).event_id);
  }

  /**
   * The effect and the event's id, together or not at all; false when they were there before.
   *
   * One line here. With you one transaction in the database that holds the orders, with a unique
   * index on event_id: two stores could part, and an order would be delivered twice, or never.
   */
  deliver(event: PaymentEvent): boolean {
    if (this.handled.has(event.event_id)) return false;
    const effect = { event_id: event.event_id, payment_id: event.id, order: event.metadata?.order };
    appendFileSync(this.file, `${JSON.stringify({ ...effect, why: event.event_type })}\n`);
    this.handled.add(event.event_id);
    return true;
  }
}

const database = new Database(args.database);
const nats = await connect({
  servers: JSON.parse(readFileSync(join(args.state, "dev.json"), "utf8")).nats,
  // By itself it would give up after ten tries.
  maxReconnectAttempts: -1,
});
const manager = await jetstreamManager(nats);
await manager.consumers.add("PAYMENTS", {
  durable_name: args.durable,
  filter_subject: "payment.>",
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(30_000),
  // Never left out silently.
  max_deliver: -1,
  // One at a time keeps payd's order through a failure: no event of a payment overtakes another.
  max_ack_pending: 1,
});
const consumer = await jetstream(nats).consumers.get("PAYMENTS", args.durable);
const messages = await consumer.consume();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => messages.stop());
console.log(`listening as ${args.durable}`);

for await (const message of messages) {
  try {
    const event = message.json<PaymentEvent>();
    const isNew = database.deliver(event);
    // Only now, when it is stored. Lost on its way, the event comes again, and is known.
    message.ack();
    const { event_type, id, event_id } = event;
    console.log(`${isNew ? "handled" : "known"}: ${event_type} ${id} ${event_id}`);
  } catch (error) {
    const again_ms = Math.min(500 * 2 ** message.info.deliveryCount, 60_000);
    console.error(`again in ${again_ms} ms: ${message.subject}: ${(error as Error).message}`);
    message.nak(again_ms);
  }
}
// With the last acknowledgement.
await nats.drain();
