// Buys one item, as a main app does: a quote, a payment, its end.
//
//   npx tsx pay.ts --item ethereum-mainnet/full/30d --method mock [--order ID] [--cancel]

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import protobuf from "protobufjs";

import type { ProtoGrpcType } from "./gen/payment.js";
import type { Money__Output } from "./gen/payd/v1/Money.js";
import type { Payment__Output } from "./gen/payd/v1/Payment.js";
import type { PaymentServiceDefinition } from "./gen/payd/v1/PaymentService.js";

const { values: args } = parseArgs({
  options: {
    state: { type: "string", default: "../../.payd" },
    item: { type: "string", default: "ethereum-mainnet/full/30d" },
    method: { type: "string", default: "mock" },
    order: { type: "string", default: randomUUID() },
    cancel: { type: "boolean", default: false },
  },
});

const PROTO = fileURLToPath(new URL("../../payd/proto/payment.proto", import.meta.url));
const DEADLINE_MS = 10_000;
const ATTEMPTS_MAX = 6;
// All four calls may be repeated, InitiatePayment because of its idempotency key.
const { UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED } = grpc.status;
const AGAIN = [UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED];
const OPEN = ["CREATING", "PENDING", "PROCESSING", "CANCELING"].map((s) => `PAYMENT_STATUS_${s}`);

// The amounts stay strings: an int64 does not fit into a number.
const { payd } = grpc.loadPackageDefinition(
  loadSync(PROTO, { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true }),
) as unknown as ProtoGrpcType;
const pem = (name: string) => readFileSync(join(args.state, "pki", name));
const dev = JSON.parse(readFileSync(join(args.state, "dev.json"), "utf8"));
const client = new payd.v1.PaymentService(
  // By name: TLS has no server names that are addresses, and Node warns of it.
  dev.grpc.replace("127.0.0.1", "localhost"),
  grpc.credentials.createSsl(pem("ca.crt"), pem("client.key"), pem("client.crt")),
  // A payd that restarts is back within seconds; by itself the channel would wait for up to 120.
  { "grpc.max_reconnect_backoff_ms": 1_000 },
);

type Service = PaymentServiceDefinition;
type Name = "GetQuote" | "InitiatePayment" | "GetPayment" | "CancelPayment";
type Request<M extends Name> = Parameters<Service[M]["requestSerialize"]>[0];
type Answer<M extends Name> = ReturnType<Service[M]["responseDeserialize"]>;

/** One call, repeated with the very same request while payd cannot say what became of it. */
async function call<M extends Name>(method: M, request: Request<M>): Promise<Answer<M>> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await new Promise((resolve, reject) =>
        (client[method] as Function).call(
          client,
          request,
          { deadline: Date.now() + DEADLINE_MS },
          (error: grpc.ServiceError | null, answer: Answer<M>) =>
            error ? reject(error) : resolve(answer),
        ),
      );
    } catch (error) {
      const { code, message } = error as grpc.ServiceError;
      if (attempt === ATTEMPTS_MAX || !AGAIN.includes(code)) throw error;
      console.error(`again: ${message}`);
      // With jitter: after a restart not all clients should come at the same moment.
      await sleep(Math.min(100 * 2 ** attempt, 3_000) * (0.5 + Math.random() / 2));
    }
  }
}

// google/rpc/status.proto and error_details.proto, as far as they are read here.
const rpc = protobuf.parse(
  `syntax = "proto3"; package google.rpc;
   message Any { string type_url = 1; bytes value = 2; }
   message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
   message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`,
  { keepCase: true },
).root;
const Status = rpc.lookupType("google.rpc.Status");
const ErrorInfo = rpc.lookupType("google.rpc.ErrorInfo");

/** What payd said: a reason to branch on, and its variable parts; nothing if it was not payd. */
function errorInfo(error: grpc.ServiceError) {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!Buffer.isBuffer(bytes)) return undefined;
  const { details } = Status.toObject(Status.decode(bytes), { arrays: true });
  for (const { type_url, value } of details as { type_url: string; value: Uint8Array }[])
    if (type_url.endsWith("/google.rpc.ErrorInfo"))
      return ErrorInfo.toObject(ErrorInfo.decode(value), { objects: true });
}

async function main() {
  const [chain_profile_id, node_type, duration] = args.item.split("/");
  const items = [{ chain_profile_id, node_type, duration }];
  const { quote } = await call("GetQuote", { items, method: args.method });
  const show = (money?: Money__Output | null) => `${money?.minor_units} ${money?.currency_code}`;
  console.log(`quote: ${show(quote?.total)}`);

  const started = await call("InitiatePayment", {
    // The order's own id, stored before this call: an app that dies here asks again with it.
    idempotency_key: `order-${args.order}`,
    customer: { id: "customer-1" },
    items,
    method: args.method,
    // Comes back in every answer and event. The mock reads its scenario from it.
    metadata: { order: args.order, ...(args.cancel && { mock_scenario: "pending" }) },
  });
  let payment = started.payment as Payment__Output;
  console.log(`payment: ${payment.id} ${show(payment.amount)}`);
  if (payment.next_action?.redirect) console.log(`pay at ${payment.next_action.redirect.url}`);

  if (args.cancel) await call("CancelPayment", { payment_id: payment.id, reason: "on request" });
  // For a person who waits. What must not be missed, the delivery, follows the event: events.ts.
  while (OPEN.includes(payment.status)) {
    await sleep(200);
    const now = await call("GetPayment", { payment_id: payment.id });
    payment = now.payment as Payment__Output;
  }
  console.log(`ended: ${payment.status} ${payment.failure?.code ?? ""}`.trimEnd());
}

try {
  await main();
} catch (error) {
  const info = errorInfo(error as grpc.ServiceError);
  console.error(info ? `${info.reason} ${JSON.stringify(info.metadata)}` : error);
  process.exitCode = 1;
} finally {
  client.close();
}
