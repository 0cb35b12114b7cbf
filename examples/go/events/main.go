// Handles payd's events as a durable consumer: each effect once, however often an event comes.
//
//	go run ./events -durable main-app-payment
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// paymentEvent is a part of the body: the whole payment, by the proto's field names, and what is
// said of the event.
type paymentEvent struct {
	EventID   string            `json:"event_id"`
	EventType string            `json:"event_type"`
	ID        string            `json:"id"`
	Metadata  map[string]string `json:"metadata"`
}

// database is a stub of the app's own. It forgets with the process; yours must not, for ever.
type database struct {
	handled map[string]bool
	paid    []string
}

// deliver writes the effect and the event's id, together or not at all; false when they were there.
//
// With you one transaction in the database that holds the orders, with a unique index on event_id:
// two stores could part, and an order would be delivered twice, or never.
func (db *database) deliver(event paymentEvent) (bool, error) {
	if event.EventID == "" {
		return false, errors.New("it has no event_id")
	}
	if db.handled[event.EventID] {
		return false, nil
	}
	if event.EventType == "payment.completed" {
		db.paid = append(db.paid, event.Metadata["order"])
	}
	db.handled[event.EventID] = true
	return true, nil
}

func handle(db *database, data []byte) error {
	var event paymentEvent
	if err := json.Unmarshal(data, &event); err != nil {
		return err
	}
	isNew, err := db.deliver(event)
	if err != nil {
		return err
	}
	word := "known"
	if isNew {
		word = "handled"
	}
	fmt.Printf("%s: %s %s %s\n", word, event.EventType, event.ID, event.EventID)
	return nil
}

func run(state, durable string) error {
	var dev struct {
		URL string `json:"nats"`
	}
	if text, err := os.ReadFile(filepath.Join(state, "dev.json")); err != nil {
		return err
	} else if err := json.Unmarshal(text, &dev); err != nil {
		return err
	}
	db := &database{handled: map[string]bool{}}
	// By itself it would give up after sixty tries.
	connection, err := nats.Connect(dev.URL, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	// With the last acknowledgement.
	defer connection.Drain()
	js, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	consumer, err := js.CreateConsumer(ctx, "PAYMENTS", jetstream.ConsumerConfig{
		Durable:       durable,
		FilterSubject: "payment.>",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       30 * time.Second,
		// Never left out silently.
		MaxDeliver: -1,
		// One at a time keeps payd's order through a failure: no event of a payment overtakes another.
		MaxAckPending: 1,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, messages.Stop)
	fmt.Println("listening as", durable)
	for {
		message, err := messages.Next()
		if ctx.Err() != nil {
			return nil
		} else if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return err
		} else if err != nil {
			// The server was silent, say: the iterator asks again by itself.
			log.Print(err)
			continue
		}
		if err := handle(db, message.Data()); err != nil {
			pause := time.Minute
			if metadata, _ := message.Metadata(); metadata != nil && metadata.NumDelivered < 7 {
				pause = 500 * time.Millisecond << metadata.NumDelivered
			}
			log.Printf("again in %v: %s: %v", pause, message.Subject(), err)
			_ = message.NakWithDelay(pause)
			continue
		}
		// Only now, when it is stored. Lost on its way, the event comes again, and is known.
		_ = message.Ack()
	}
}

func main() {
	log.SetFlags(0)
	state := flag.String("state", "../../.payd", "of payd dev")
	durable := flag.String("durable", "main-app-payment", "the consumer's name")
	flag.Parse()
	if err := run(*state, *durable); err != nil {
		log.Fatal(err)
	}
}
