// Buys one item, as a main app does: a quote, a payment, its end.
//
//	go run ./pay -item ethereum-mainnet/full/30d -method mock [-order ID] [-cancel]
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	mathrand "math/rand"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	pb "example.com/main-app/paydpb"
)

const (
	deadline    = 10 * time.Second
	attemptsMax = 6
)

// again makes one call, and repeats it with the very same request while payd cannot say what became
// of it. All four methods may be repeated, InitiatePayment because of its idempotency key.
func again[Q, A any](method func(context.Context, Q, ...grpc.CallOption) (A, error), request Q) (A, error) {
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		answer, err := method(ctx, request)
		cancel()
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
			if attempt < attemptsMax {
				log.Printf("again: %v", err)
				// With jitter: after a restart not all clients should come at the same moment.
				pause := 100 * time.Millisecond << attempt
				time.Sleep(pause/2 + time.Duration(mathrand.Int63n(int64(pause/2))))
				continue
			}
		}
		return answer, err
	}
}

// dial opens a channel with mutual TLS, by what `payd dev` leaves in its state directory.
func dial(state string) (*grpc.ClientConn, error) {
	var dev struct {
		Address string `json:"grpc"`
	}
	text, err := os.ReadFile(filepath.Join(state, "dev.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &dev); err != nil {
		return nil, err
	}
	pki := filepath.Join(state, "pki")
	own, err := tls.LoadX509KeyPair(filepath.Join(pki, "client.crt"), filepath.Join(pki, "client.key"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	config := &tls.Config{
		Certificates: []tls.Certificate{own}, RootCAs: roots, MinVersion: tls.VersionTLS13,
	}
	return grpc.NewClient(dev.Address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
}

func buy(client pb.PaymentServiceClient, item []string, method, order string, cancel bool) error {
	items := []*pb.Item{{ChainProfileId: item[0], NodeType: item[1], Duration: item[2]}}
	quoted, err := again(client.GetQuote, &pb.GetQuoteRequest{Items: items, Method: method})
	if err != nil {
		return err
	}
	fmt.Println("quote:", show(quoted.GetQuote().GetTotal()))

	request := &pb.InitiatePaymentRequest{
		// The order's own id, stored before this call: an app that dies here asks again with it.
		IdempotencyKey: "order-" + order,
		Customer:       &pb.Customer{Id: "customer-1"},
		Items:          items,
		Method:         method,
		// Comes back in every answer and event. The mock reads its scenario from it.
		Metadata: map[string]string{"order": order},
	}
	if cancel {
		request.Metadata["mock_scenario"] = "pending"
	}
	started, err := again(client.InitiatePayment, request)
	if err != nil {
		return err
	}
	payment := started.GetPayment()
	fmt.Println("payment:", payment.GetId(), show(payment.GetAmount()))
	if page := payment.GetNextAction().GetRedirect().GetUrl(); page != "" {
		fmt.Println("pay at", page)
	}

	if cancel {
		wish := &pb.CancelPaymentRequest{PaymentId: payment.GetId(), Reason: "on request"}
		if _, err := again(client.CancelPayment, wish); err != nil {
			return err
		}
	}
	// For a person who waits. What must not be missed, the delivery, follows the event: ../events.
	question := &pb.GetPaymentRequest{Key: &pb.GetPaymentRequest_PaymentId{PaymentId: payment.GetId()}}
	for isOpen(payment.GetStatus()) {
		time.Sleep(200 * time.Millisecond)
		now, err := again(client.GetPayment, question)
		if err != nil {
			return err
		}
		payment = now.GetPayment()
	}
	fmt.Println("ended:", payment.GetStatus(), payment.GetFailure().GetCode())
	return nil
}

func show(money *pb.Money) string {
	return fmt.Sprintf("%d %s", money.GetMinorUnits(), money.GetCurrencyCode())
}

func isOpen(s pb.PaymentStatus) bool {
	switch s {
	case pb.PaymentStatus_PAYMENT_STATUS_CREATING, pb.PaymentStatus_PAYMENT_STATUS_PENDING,
		pb.PaymentStatus_PAYMENT_STATUS_PROCESSING, pb.PaymentStatus_PAYMENT_STATUS_CANCELING:
		return true
	}
	return false
}

// errorInfo is what payd said: a reason to branch on, and its variable parts; nil if it was not payd.
func errorInfo(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

func main() {
	log.SetFlags(0)
	state := flag.String("state", "../../.payd", "of payd dev")
	item := flag.String("item", "ethereum-mainnet/full/30d", "chain profile/node type/duration")
	method := flag.String("method", "mock", "of payment")
	order := flag.String("order", rand.Text(), "the order's id")
	cancel := flag.Bool("cancel", false, "cancel it at once")
	flag.Parse()

	connection, err := dial(*state)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	// What is missing is payd's to refuse.
	parts := append(strings.SplitN(*item, "/", 3), "", "")
	err = buy(pb.NewPaymentServiceClient(connection), parts, *method, *order, *cancel)
	if info := errorInfo(err); info != nil {
		log.Fatalf("%s %v", info.GetReason(), info.GetMetadata())
	} else if err != nil {
		log.Fatal(err)
	}
}
